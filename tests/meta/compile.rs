//! What a compiler says of users' mistakes that the attribute alone cannot see: `compile/*.rs` as `compile/*.stderr`
//! says. `UPDATE=1` writes these anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::{root, updates};

/// One message of the compiler's.
#[derive(Deserialize)]
struct Message {
    message: String,
    level: String,
    code: Option<Code>,
    spans: Vec<Place>,
}

/// The code of an error, or the name of a lint.
#[derive(Deserialize)]
struct Code {
    code: String,
}

/// A place that a message points at.
#[derive(Clone, Deserialize)]
struct Place {
    file_name: String,
    line_start: usize,
    line_end: usize,
    column_start: usize,
    column_end: usize,
    is_primary: bool,
    label: Option<String>,
    expansion: Option<Box<Expansion>>,
}

/// The macro that a place is in.
#[derive(Clone, Deserialize)]
struct Expansion {
    span: Place,
}

impl Place {
    /// The place itself, or where the outermost macro that it is in is used.
    fn in_file(&self, file: &Path) -> &Self {
        match &self.expansion {
            Some(expansion) if Path::new(&self.file_name) != file => expansion.span.in_file(file),
            _ => self,
        }
    }
}

/// The crate with which this program is built lies beside it: the last one that is no newer.
fn framework() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows its path");
    let built =
        |path: &Path| fs::metadata(path).and_then(|data| data.modified()).expect("a file has its time");
    let entries = fs::read_dir(program.parent().expect("a program is in a folder")).expect("it can be read");
    let libraries = entries.map(|entry| entry.expect("an entry can be read").path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("liblogos_scenario-") && name.ends_with(".rlib") && built(path) <= built(&program)
    });
    libraries.max_by_key(|path| built(path)).expect("the crate lies beside the program that has it")
}

/// What the compiler says of a case, whose first line may give it arguments: `//! rustc: --test`.
#[expect(clippy::disallowed_methods, reason = "the compiler is what is tested")]
fn told(case: &Path, framework: &Path, scratch: &Path) -> String {
    let source = fs::read_to_string(root().join(case)).expect("a case can be read");
    let first = source.lines().next().unwrap_or_default();
    let arguments = first.strip_prefix("//! rustc: ").unwrap_or_default();
    let output = Command::new("rustc")
        .current_dir(root())
        .args(["--edition=2024", "--crate-name=case", "--emit=metadata", "--error-format=json"])
        .args(arguments.split_whitespace())
        .arg("--extern")
        .arg(format!("logos_scenario={}", framework.display()))
        .arg("-L")
        .arg(format!("dependency={}", framework.parent().expect("a crate is in a folder").display()))
        .arg("--out-dir")
        .args([scratch, case])
        .output()
        .expect("whoever compiled this has a compiler");
    let messages = String::from_utf8_lossy(&output.stderr);
    let mut told = String::new();
    for line in messages.lines() {
        let message: Message = serde_json::from_str(line).unwrap_or_else(|_| panic!("{messages}"));
        tell(&mut told, &message, case, &source);
    }
    if told.is_empty() { "no error\n".to_owned() } else { told }
}

/// Codes of messages whose text is the framework's.
const OURS: [&str; 3] = ["E0080", "E0277", "deprecated"];

/// Writes where a message points, and its text if that is the framework's own: what a compiler says of itself
/// differs between versions.
fn tell(told: &mut String, message: &Message, case: &Path, source: &str) {
    let Some(place) = message.spans.iter().find(|place| place.is_primary) else { return };
    let code = message.code.as_ref().map_or("", |code| &code.code);
    let text = if OURS.contains(&code) { &message.message } else { "" };
    let is_ours = text.contains("#[") || text.contains("backend");
    let label = place.label.as_deref().filter(|_| is_ours).unwrap_or_default();
    let place = place.in_file(case);
    let line = source.lines().nth(place.line_start.saturating_sub(1)).unwrap_or_default();
    let last = if place.line_end == place.line_start { place.column_end } else { line.len() + 1 };
    let marks = "^".repeat(last.saturating_sub(place.column_start).max(1));
    let (name, column) = (case.file_name().unwrap_or_default().to_string_lossy(), place.column_start);
    let lines = [
        format!("{}[{code}]: {text}", message.level),
        format!(" --> {name}:{}:{column}", place.line_start),
        format!("  | {line}"),
        format!("  | {}{marks} {label}", " ".repeat(column.saturating_sub(1))),
    ];
    lines.iter().for_each(|line| writeln!(told, "{}", line.trim_end()).expect("a string can be written to"));
    told.push('\n');
}

#[test]
fn mistakes_are_told_where_they_are() {
    // As the compiler is told of them: relative to the folder it runs in.
    let entries = fs::read_dir(root().join("tests/meta/compile")).expect("the cases are beside this file");
    let paths = entries
        .map(|entry| Path::new("tests/meta/compile").join(entry.expect("an entry can be read").file_name()));
    let mut cases: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect();
    cases.sort();
    let (framework, scratch) = (framework(), tempfile::tempdir().expect("there is room"));
    let mut wrong = Vec::new();
    for case in cases {
        let seen = told(&case, &framework, scratch.path());
        let golden = root().join(&case).with_extension("stderr");
        if updates() {
            fs::write(&golden, &seen).expect("a golden can be written");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if seen != expected {
            wrong.push(format!("== {}\nexpected:\n{expected}\nseen:\n{seen}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nrewrite with UPDATE=1", wrong.join("\n"));
}
