//! The attribute's manual tells every key, and its examples hold.

use super::parsed;
use crate::check::KEYS;

/// The manual without its comment signs.
fn manual() -> String {
    let lines = include_str!("../lib.rs").lines();
    lines
        .filter_map(|line| line.strip_prefix("///"))
        .map(|line| line.trim_start().to_owned() + "\n")
        .collect()
}

fn examples(manual: &str) -> Vec<&str> {
    let blocks = manual.split("```ignore\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("an example ends")).collect()
}

#[test]
fn every_key_has_a_row_and_an_example() {
    let manual = manual();
    let examples = examples(&manual).join("\n");
    for key in KEYS {
        assert!(manual.contains(&format!("\n| `{key}` |")), "`{key}` is not in the table");
        assert!(examples.contains(&format!("{key} = ")), "`{key}` is in no example");
    }
}

#[test]
fn examples_are_accepted() {
    for example in examples(&manual()) {
        let (arguments, item) = parsed(example);
        if let Err(errors) = crate::check::check(crate::args::parse(arguments, &item)) {
            panic!("{errors}\n{example}");
        }
    }
}
