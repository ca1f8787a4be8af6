//! `cargo nextest` on a test program that is built already.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The command, with what it reads.
#[derive(Debug)]
pub struct Nextest {
    /// `cargo-nextest nextest run` on the program; its filters and options are the caller's to add.
    pub command: Command,
    /// Has to be there as long as it runs.
    pub files: TempDir,
}

/// Prepares to run the tests of a program, which nextest knows as `inner`.
///
/// # Errors
///
/// Cargo does not tell what is in the workspace.
pub fn on(program: &Path) -> anyhow::Result<Nextest> {
    let (files, cargo) = (tempfile::tempdir()?, known_to_cargo()?);
    let mut packages = cargo["packages"].as_array().into_iter().flatten();
    let package = packages.find(|package| package["name"] == env!("CARGO_PKG_NAME"));
    let package = &package.context("cargo knows no package of this program")?["id"];
    let binary = json!({
        "binary-id": "inner", "binary-name": "inner", "package-id": package, "kind": "test",
        "binary-path": program, "build-platform": "target",
    });
    let build = json!({
        "target-directory": cargo["target_directory"], "base-output-directories": ["debug"],
        "non-test-binaries": {}, "build-script-out-dirs": {}, "linked-paths": [], "target-platform": null,
    });
    let binaries = json!({ "rust-build-meta": build, "rust-binaries": { "inner": binary } });
    let written = |name: &str, value: &Value| {
        let path = files.path().join(name);
        std::fs::write(&path, value.to_string()).map(|()| path)
    };
    let (cargo, binaries) = (written("cargo", &cargo)?, written("binaries", &binaries)?);
    #[expect(clippy::disallowed_methods, reason = "nextest is a program")]
    let mut command = Command::new("cargo-nextest");
    command.args(["nextest", "run", "--cargo-metadata"]).arg(cargo).arg("--binaries-metadata").arg(binaries);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    Ok(Nextest { command, files })
}

fn known_to_cargo() -> anyhow::Result<Value> {
    #[expect(clippy::disallowed_methods, reason = "cargo is a program, and says which one it is")]
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let asked = ["metadata", "--format-version", "1", "--locked"];
    let told = cargo.args(asked).current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
    if !told.status.success() {
        bail!("{}", String::from_utf8_lossy(&told.stderr));
    }
    Ok(serde_json::from_slice(&told.stdout)?)
}
