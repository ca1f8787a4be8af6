//! What programs and scripts tell by their exit codes: 0 passed, 1 failed, 2 usage, 3 backend unavailable.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use logos_scenario_tests::gherkin;
use quick_junit::{Report, TestCaseStatus};

#[expect(clippy::disallowed_methods, reason = "programs and scripts are what is tested")]
fn command<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S]) -> Command {
    let mut command = Command::new(program);
    // What the caller may have set is not what is tested.
    for setting in ["SCENARIO_SEED", "SCENARIO_REQUIRE", "NOMOS_DEMO_VALIDATORS", "NOMOS_DEMO_EXECUTORS"] {
        command.env_remove(setting);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Fails unless a program ends with this code.
fn check(command: &mut Command, code: i32) -> Output {
    let output = command.output().expect("the program can be run");
    let (said, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{printed}\n{said}");
    output
}

const RUNNER: &str = env!("CARGO_BIN_EXE_local_runner");
const FAST: [&str; 8] = ["--slot-ms", "500", "--run-seconds", "10", "--validators", "2", "--executors", "0"];

#[test]
fn a_runner_whose_scenario_passes_says_0() {
    check(&mut command(RUNNER, &FAST), 0);
}

#[test]
fn a_runner_whose_scenario_fails_says_1() -> anyhow::Result<()> {
    let mut runner = command(RUNNER, &FAST);
    runner.env("TESTNET_PRINT_ENDPOINTS", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut runner = runner.spawn()?;
    let mut printed = BufReader::new(runner.stdout.take().expect("it is piped")).lines();
    let ready = printed.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("TESTNET_ENDPOINTS")));
    assert!(ready.is_some(), "it ended before its nodes were ready");
    let node = child_of(runner.id()).expect("its nodes are its children");
    rustix::process::kill_process(node, rustix::process::Signal::KILL)?;
    // Whoever reads no more lets it fail at the next line that it prints.
    printed.by_ref().for_each(drop);
    let output = runner.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("NoCrash failed (product)") && said.contains("code: P01"), "{said}");
    Ok(())
}

/// A node that a process started.
fn child_of(parent: u32) -> Option<rustix::process::Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).ok()?;
    let children =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<i32> =
        children.flat_map(|pids| pids.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect();
    children.into_iter().find_map(rustix::process::Pid::from_raw)
}

#[test]
fn programs_that_are_asked_for_what_they_cannot_say_2() {
    check(&mut command(RUNNER, &["--validators", "many"]), 2);
    check(&mut command(RUNNER, &["--run-seconds", "1"]), 2);
    let cucumber = env!("CARGO_BIN_EXE_cucumber_local");
    check(&mut command(cucumber, &["no/such.feature"]), 2);
    check(&mut command(cucumber, &["--name", "no such scenario"]), 2);
    check(&mut command(cucumber, &["--name", "Blobs need an executor", "--junit", "/no/such/junit.xml"]), 2);
}

#[test]
fn programs_without_their_backend_say_3() {
    for (program, setting) in [
        (env!("CARGO_BIN_EXE_compose_runner"), "DOCKER_HOST"),
        (env!("CARGO_BIN_EXE_cucumber_compose"), "DOCKER_HOST"),
        (env!("CARGO_BIN_EXE_k8s_runner"), "KUBECONFIG"),
        (env!("CARGO_BIN_EXE_cucumber_k8s"), "KUBECONFIG"),
    ] {
        let nowhere = if setting == "DOCKER_HOST" { "unix:///no/such.sock" } else { "/no/such/config" };
        let output = check(command(program, &[] as &[&str]).env(setting, nowhere), 3);
        assert!(!output.stderr.is_empty(), "{program} says nothing");
    }
}

#[test]
fn feature_files_whose_scenarios_pass_or_fail_say_so() {
    let cucumber = env!("CARGO_BIN_EXE_cucumber_local");
    let (directory, features) = (tempfile::tempdir().expect("there is room"), gherkin::features());
    let junit = directory.path().join("junit.xml");
    let report = |name: &str, code| {
        let places = [features.join("wrong"), features.join("local.feature")];
        let mut command = command(cucumber, &places);
        check(command.args(["--name", name, "--junit"]).arg(&junit), code);
        Report::deserialize_from_str(&std::fs::read_to_string(&junit).expect("it is written"))
            .expect("it is JUnit")
    };
    let passed = report("Blobs need an executor", 0);
    assert_eq!((passed.tests, passed.failures, passed.test_suites.len()), (1, 0, 1));
    let failed = report("no executor", 1);
    assert_eq!((failed.tests, failed.failures), (1, 1));
    let case = &failed.test_suites[0].test_cases[0];
    let TestCaseStatus::NonSuccess { description: Some(said), .. } = &case.status else {
        panic!("it does not say why: {case:?}");
    };
    assert!(said.as_str().contains("no executor"), "{said:?}");
}

fn scripts() -> Vec<PathBuf> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let folders = scripts.read_dir().expect("there are scripts").flatten();
    let files = folders.flat_map(|folder| folder.path().read_dir().into_iter().flatten().flatten());
    files.map(|file| file.path()).collect()
}

#[test]
fn every_script_has_help_and_refuses_what_it_does_not_know() {
    let scripts = scripts();
    assert!(scripts.len() >= 4, "{scripts:?}");
    for script in scripts {
        let help = check(&mut command(&script, &["--help"]), 0);
        let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(String::from_utf8_lossy(&help.stdout).contains(&name), "{name} does not say how it is used");
        check(&mut command(&script, &["--no-such-argument"]), 2);
    }
}

#[test]
fn the_script_of_the_examples_names_its_backends() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/run/run-examples.sh");
    check(&mut command(&script, &[] as &[&str]), 2);
    check(&mut command(&script, &["-t", "soon", "host"]), 2);
    check(command(&script, &["compose"]).env("DOCKER_HOST", "unix:///no/such.sock"), 3);
}
