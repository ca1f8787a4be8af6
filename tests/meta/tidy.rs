//! What no lint checks.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

/// All files below the workspace's folders, but for what is built.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["macros", "runtime", "backends", "scripts", "tests"].iter().map(|name| root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace can be read") {
            let path = entry.expect("an entry can be read").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|other| other == extension) => found.push(path),
                false => {}
            }
        }
    }
    assert!(!found.is_empty(), "no file ends in .{extension}");
    found
}

/// Fails with every place where `wrong` says something.
fn check(what: &str, files: Vec<PathBuf>, wrong: impl Fn(&Path, &str) -> Option<String>) {
    let told: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).expect("a source file is text");
            Some(format!("{}: {}", path.display(), wrong(path, &text)?))
        })
        .collect();
    assert!(told.is_empty(), "{what}:\n{}", told.join("\n"));
}

/// The sources of a folder, but for files of tests, which may say anything.
fn below(folder: &str) -> Vec<PathBuf> {
    let folder = root().join(folder);
    let is_source = |path: &PathBuf| path.starts_with(&folder) && !path.ends_with("tests.rs");
    files("rs").into_iter().filter(is_source).collect()
}

/// Lines in which one of the words stands, in whatever case and be it a part of another; tests at a file's end may
/// say anything.
fn lines_with(text: &str, words: &[&str]) -> Option<String> {
    let program = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = program.lines().enumerate().filter(|(_, line)| {
        let line = line.to_lowercase();
        words.iter().any(|word| line.contains(word))
    });
    let told: Vec<String> =
        lines.map(|(number, line)| format!("line {}: {}", number + 1, line.trim())).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

#[test]
fn every_file_says_what_it_is_for() {
    let snippets = ["macros/ui", "macros/expansions", "tests/meta/compile"].map(|folder| root().join(folder));
    let is_snippet = |path: &PathBuf| snippets.iter().any(|folder| path.starts_with(folder));
    let sources = files("rs").into_iter().filter(|path| !is_snippet(path)).collect();
    check("files that do not open with //!", sources, |_, text| {
        (!text.starts_with("//! ")).then(|| "opens otherwise".to_owned())
    });
}

#[test]
fn modules_are_files_beside_their_folder() {
    check("mod.rs files", files("rs"), |path, _| {
        path.ends_with("mod.rs").then(|| "rename it to its folder's name".to_owned())
    });
}

#[test]
fn the_runtime_knows_no_backend() {
    check("the runtime names a container engine", below("runtime/src"), |_, text| {
        lines_with(text, &["docker", "bollard", "kube"])
    });
}

#[test]
fn backends_know_no_chain() {
    let sources = below("backends/src").into_iter();
    // The front door shows what a scenario looks like.
    let sources = sources.filter(|path| *path != root().join("backends/src/lib.rs")).collect();
    check("a backend names what only the runtime knows", sources, |_, text| {
        lines_with(text, &["genesis", "wallet", "utxo", "block_interval", "blockinterval", "mempool"])
    });
}

#[test]
fn scripts_are_short() {
    check("what is no script any more, but a program", files("sh"), |_, text| {
        let lines = text.lines().count();
        (lines >= 40).then(|| format!("{lines} lines, expected fewer than 40: write it in Rust"))
    });
}

#[test]
fn lints_are_lifted_with_a_reason() {
    check("bare allows and ignores", files("rs"), |path, text| {
        // Tests of the attribute on attributes.
        if path.starts_with(root().join("macros")) || path.ends_with("runtime/tests/attribute.rs") {
            return None;
        }
        let mut lines = text.lines().map(str::trim_start);
        lines.find(|line| *line == "#[ignore]" || is_bare_allow(line)).map(|line| format!("`{line}`"))
    });
}

/// An `allow` in one line, without a reason.
fn is_bare_allow(line: &str) -> bool {
    let allows = line.starts_with("#[allow(") || line.starts_with("#![allow(");
    allows && line.ends_with(")]") && !line.contains("reason = ")
}
