//! Every mistake in `ui/*.rs`, told as `ui/*.stderr` says.

use std::fmt::Write as _;
use std::fs;

use super::{cases, check_goldens, parsed};

/// What a compiler would say of the case.
fn told(name: &str, source: &str) -> String {
    let (arguments, item) = parsed(source);
    let checked = crate::check::check(crate::args::parse(arguments, &item, crate::args::SCENARIO));
    let Err(errors) = checked else { return "no error\n".to_owned() };
    let mut told = String::new();
    for error in errors {
        let (start, end) = (error.span().start(), error.span().end());
        let line = source.lines().nth(start.line.saturating_sub(1)).unwrap_or_default();
        let last = if end.line == start.line { end.column } else { line.len() };
        let marks = "^".repeat(last.saturating_sub(start.column).max(1));
        writeln!(
            told,
            "error: {error}\n --> {name}:{}:{}\n  | {line}\n  | {}{marks}\n",
            start.line,
            start.column + 1,
            " ".repeat(start.column)
        )
        .expect("a string can be written to");
    }
    told
}

#[test]
fn every_mistake_is_told_on_its_token() {
    check_goldens("ui", "stderr", told);
    assert!(cases("ui").len() >= 40, "only {} cases", cases("ui").len());
}

#[test]
fn the_item_survives_its_mistakes() {
    for case in cases("ui") {
        let (arguments, item) = parsed(&fs::read_to_string(&case).expect("a case can be read"));
        let emitted = crate::expanded(arguments, &item).to_string();
        assert!(emitted.starts_with(&item.to_string()), "{}: {emitted}", case.display());
        assert!(emitted.contains("compile_error"), "{}: {emitted}", case.display());
    }
}
