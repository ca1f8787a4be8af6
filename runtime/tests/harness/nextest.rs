//! What nextest makes of cases, with the configuration that the repository ships.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Check, INNER, has, has_not, same, text};

const CHECKS: &[Check] = &[
    ("nextest_tells_failures_and_skips_what_is_ignored", failures_are_told),
    ("nextest_tries_again", nextest_tries_again),
    ("nextest_partitions", nextest_partitions),
    ("nextest_groups_by_backend", nextest_groups_by_backend),
    ("nextest_runs_what_was_built_elsewhere", nextest_runs_what_was_built_elsewhere),
];

/// What takes nextest, ignored where there is none.
pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    let missing = program().arg("--version").output().is_err();
    CHECKS.iter().map(move |(name, check)| {
        let trial = Trial::test(*name, *check);
        if missing { trial.with_kind("no cargo-nextest").with_ignored_flag(true) } else { trial }
    })
}

#[expect(clippy::disallowed_methods, reason = "nextest is a program")]
fn program() -> Command {
    let mut command = Command::new("cargo-nextest");
    let foreign = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        ["NEXTEST", "RUST_", "SCENARIO_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix))
    });
    foreign.for_each(|name| _ = command.env_remove(name));
    command.env_remove("GITHUB_ACTIONS").stdin(Stdio::null());
    command
}

/// A workspace with one test program, which is this one as the inner one.
struct Suite {
    folder: TempDir,
    /// What nextest is told of the program.
    metadata: Vec<String>,
}

impl Suite {
    fn new() -> Result<Self, Failed> {
        // On the disk of this program, of which it has a second name.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("src"))?;
        fs::write(path("src/lib.rs"), "")?;
        let manifest = "[package]\nname = \"suite\"\nedition = \"2024\"\n[workspace]\n";
        fs::write(path("Cargo.toml"), manifest)?;
        let program = path("target/debug/deps/inner");
        fs::create_dir_all(path("target/debug/deps"))?;
        fs::hard_link(std::env::current_exe()?, &program)?;
        let cargo = known_to_cargo(folder.path())?;
        let binary = json!({
            "binary-id": "suite::inner", "binary-name": "inner", "package-id": cargo["packages"][0]["id"],
            "kind": "test", "binary-path": program, "build-platform": "target",
        });
        let build = json!({
            "target-directory": path("target"), "base-output-directories": ["debug"], "non-test-binaries": {},
            "build-script-out-dirs": {}, "linked-paths": [], "target-platform": null,
        });
        let binaries = json!({ "rust-build-meta": build, "rust-binaries": { "suite::inner": binary } });
        // It is given the program's path, and what that is to be told.
        let runner = path("runner");
        fs::write(&runner, format!("#!/bin/sh\nprogram=$1\nshift\nexec \"$program\" {INNER} \"$@\"\n"))?;
        fs::set_permissions(&runner, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.config/nextest.toml");
        let mut metadata = vec![
            format!("--config-file={}", shipped.display()),
            format!("--config=target.'cfg(all())'.runner={}", json!([runner])),
        ];
        for (option, value) in [("cargo-metadata", cargo), ("binaries-metadata", binaries)] {
            fs::write(path(option), value.to_string())?;
            metadata.push(format!("--{option}={}", path(option).display()));
        }
        Ok(Self { folder, metadata })
    }

    fn nextest(&self, command: &[&str], args: &[&str]) -> Result<Output, Failed> {
        let command = ["nextest"].iter().chain(command);
        Ok(program()
            .args(command)
            .args(&self.metadata)
            .args(["--color", "never"])
            .args(args)
            .current_dir(self.folder.path())
            .output()?)
    }

    /// Runs the cases of a filter; what nextest said, and its exit code.
    fn run(&self, filter: &str, args: &[&str]) -> Result<(String, Option<i32>), Failed> {
        let filter = format!("test(/{filter}/)");
        let args = [&["--profile", "ci", "-E", &filter], args].concat();
        let output = self.nextest(&["run"], &args)?;
        Ok((text(&output.stderr), output.status.code()))
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }
}

/// Folders of the attempts of a case, in the one folder of a run that has it.
fn attempts(target: &Path, case: &str) -> Result<Vec<String>, Failed> {
    let mut runs = fs::read_dir(target.join("scenario"))?.filter_map(|run| Some(run.ok()?.path().join(case)));
    let folder = runs.find(|folder| folder.is_dir()).ok_or("the case left nothing")?;
    let names = fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.collect();
    names.sort();
    Ok(names)
}

#[expect(clippy::disallowed_methods, reason = "cargo is a program")]
fn known_to_cargo(folder: &Path) -> Result<Value, Failed> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--format-version", "1", "--offline"]).current_dir(folder);
    let told = cargo.env_remove("CARGO_TARGET_DIR").output()?;
    if told.status.success() {
        Ok(serde_json::from_slice(&told.stdout)?)
    } else {
        Err(text(&told.stderr).into())
    }
}

fn failures_are_told() -> Result<(), Failed> {
    let suite = Suite::new()?;
    let (said, code) = suite.run("chains::(stand_still|are_)|plain::|prove_nothing|log_and_pass", &[])?;
    same(code, Some(100))?;
    has(&said, &["7 tests run: 3 passed, 4 failed, ", "Error: ConsensusLiveness failed (product)"])?;
    has_not(&said, "LEAK")?;
    has_not(&said, "chains::are_")?;
    has_not(&said, "plain::ignored")?;
    let junit = fs::read_to_string(suite.target().join("nextest/ci/junit.xml"))?;
    has(
        &junit,
        &[
            "name=\"compose::scenarios::chains::stand_still\"",
            "<failure message=\"Error: ConsensusLiveness failed (product)\"",
            "no block for ",
            "repeat with: SCENARIO_SEED=",
            "such a scenario proves nothing",
            "Error: a panic at runtime/tests/harness/scenarios.rs:",
        ],
    )?;
    let (said, _) = suite.run("are_", &["--run-ignored", "only"])?;
    has(&said, &["3 tests run: 1 passed, 2 failed", "seen: there is no cluster"])
}

fn nextest_tries_again() -> Result<(), Failed> {
    let suite = Suite::new()?;
    let (said, code) = suite.run("pass_when_tried_again", &["--retries", "1"])?;
    same(code, Some(0))?;
    has(&said, &["1 test run: 1 passed (1 flaky)", "FLAKY 2/2"])?;
    let case = "local.scenarios.bodies.pass_when_tried_again";
    same(attempts(&suite.target(), case)?, ["1", "2"].map(str::to_owned).into())
}

fn nextest_partitions() -> Result<(), Failed> {
    let suite = Suite::new()?;
    let part = |part: &str| {
        let (said, code) = suite.run("plain::(awaits|counts)", &["--partition", part])?;
        same(code, Some(0))?;
        has(&said, &["1 test run: 1 passed"])?;
        Ok::<_, Failed>(said.contains("plain::awaits"))
    };
    same([part("count:1/2")?, part("count:2/2")?], [true, false])
}

fn nextest_groups_by_backend() -> Result<(), Failed> {
    let output = Suite::new()?.nextest(&["show-config", "test-groups"], &[])?;
    let groups = text(&output.stdout);
    let (_, compose) = groups.split_once("group: compose (max threads = 4)").ok_or(groups.as_str())?;
    let (compose, k8s) = compose.split_once("group: k8s (max threads = 4)").ok_or(groups.as_str())?;
    has(compose, &["compose::scenarios::chains::stand_still"])?;
    has_not(compose, "local::")?;
    has_not(k8s, "compose::")
}

/// As from an archive: the program, its workspace and its target folder are elsewhere than they were built.
fn nextest_runs_what_was_built_elsewhere() -> Result<(), Failed> {
    let (suite, elsewhere) = (Suite::new()?, tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?);
    let [workspace, extracted] = ["workspace", "extracted"].map(|name| elsewhere.path().join(name));
    let target = extracted.join("target");
    fs::create_dir_all(&extracted)?;
    fs::create_dir_all(workspace.join("src"))?;
    for file in ["Cargo.toml", "src/lib.rs"] {
        fs::rename(suite.folder.path().join(file), workspace.join(file))?;
    }
    fs::rename(suite.target(), &target)?;
    let remap = |option: &str, folder: &Path| format!("--{option}-remap={}", folder.display());
    let args = [remap("workspace", &workspace), remap("target-dir", &target)];
    let (said, code) = suite.run("chains::grow$|log_and_fail", &args.each_ref().map(String::as_str))?;
    same(code, Some(100))?;
    has(&said, &["2 tests run: 1 passed, 1 failed", &format!("files: {}/scenario/", target.display())])?;
    same(attempts(&target, "local.scenarios.chains.grow")?, vec!["1".to_owned()])
}
