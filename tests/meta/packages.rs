//! What is published is told as it is.

use std::fs;

use super::root;

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The value of a key of a manifest that is a text.
fn value<'a>(manifest: &'a str, key: &str) -> &'a str {
    let start = format!("\n{key} = \"");
    let (_, rest) = manifest.split_once(&start).unwrap_or_else(|| panic!("there is no {key}"));
    rest.split('"').next().unwrap_or_default()
}

#[test]
fn the_least_rust_version_is_the_one_that_is_checked() {
    let manifest = text("Cargo.toml");
    let version = value(&manifest, "rust-version");
    let workflow = text(".github/workflows/ci.yml");
    serde_saphyr::from_str::<serde_json::Value>(&workflow).expect("a workflow is YAML");
    assert!(
        workflow.contains(&format!("cargo +{version} check")),
        "the workflow checks another than {version}"
    );
    assert!(
        text("README.md").contains(&format!("Rust {version} or newer")),
        "README names another than {version}"
    );
}

#[test]
fn the_release_notes_have_the_version() {
    let manifest = text("Cargo.toml");
    let version = value(&manifest, "version");
    assert!(text("backends/CHANGELOG.md").contains(&format!("\n## {version}")), "{version} has no notes");
    let needed = manifest.matches(&format!("version = \"{version}\"")).count();
    assert_eq!(needed, 4, "the workspace's packages need each other in version {version}");
}

#[test]
fn what_breaks_users_code_is_looked_for() {
    let workflow = text(".github/workflows/ci.yml");
    assert!(
        workflow.contains("scripts/ops/check-api.sh") && workflow.contains("fetch-depth: 0"),
        "{workflow}"
    );
}
