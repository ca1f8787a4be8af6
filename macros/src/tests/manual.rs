//! The attribute's manual tells every key. That its examples compile is for rustdoc to check.

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
    manual.split("```\n").skip(1).step_by(2).collect()
}

#[test]
fn every_key_has_a_row_and_an_example() {
    let manual = manual();
    let examples = examples(&manual).join("\n");
    for key in KEYS {
        assert!(manual.contains(&format!("\n| `{key}` |")), "`{key}` is not in the table");
        let written = [" = ", "(", ",", ")"].iter().any(|next| examples.contains(&format!("{key}{next}")));
        assert!(written, "`{key}` is in no example");
    }
}
