//! Each scenario of each feature file is a test of its own.

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use logos_scenario_devnode::Devnode;
use logos_scenario_tests::gherkin::{self, Written};
use logos_scenario_tests::nextest::{self, Nextest};
use quick_junit::Report;
use tokio::runtime::{Handle, Runtime};

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: there can be no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let written = match gherkin::scenarios(gherkin::features()) {
        Ok(written) => written,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials: Vec<_> = written.into_iter().map(|written| trial(written, runtime.handle())).collect();
    trials.push(Trial::test("each_scenario_that_is_wrong_fails", {
        let runtime = runtime.handle().clone();
        move || wrong_ones_fail(&runtime)
    }));
    trials.push(Trial::ignorable_test("nextest_writes_their_junit", nextest_writes_their_junit));
    libtest_mimic::run(&args, trials).exit_code()
}

/// What is wrong stands in the name of each scenario, as it should in its failure.
fn wrong_ones_fail(runtime: &Handle) -> Result<(), Failed> {
    let written = gherkin::scenarios(&gherkin::features().join("wrong"))?;
    for written in &written {
        match runtime.block_on(gherkin::run(written, program())) {
            Err(said) if said.contains(&written.name) && said.matches(&written.name).count() > 1 => {}
            Err(said) => return Err(format!("`{}` is not in the failure:\n{said}", written.name).into()),
            Ok(()) => return Err(format!("`{}` passed", written.name).into()),
        }
    }
    if written.is_empty() { Err("there is nothing wrong".into()) } else { Ok(()) }
}

/// With the profile `ci` of this repository, but into a folder of its own.
fn nextest_writes_their_junit() -> Result<Completion, Failed> {
    const NAME: &str = "local::blobs_need_an_executor";
    let Nextest { mut command, files } = nextest::on(&std::env::current_exe()?)?;
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.config/nextest.toml");
    let settings = std::fs::read_to_string(settings)?;
    let (config, store) = (files.path().join("nextest.toml"), files.path().join("store"));
    std::fs::write(&config, format!("{settings}\n[store]\ndir = {:?}\n", store.display().to_string()))?;
    command.args(["--profile", "ci", "-E", &format!("test({NAME})"), "--config-file"]).arg(config);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Completion::ignored_with("there is no cargo-nextest"));
        }
        Err(error) => return Err(error.into()),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let Ok(junit) = std::fs::read_to_string(store.join("ci/junit.xml")) else { return Err(said.into()) };
    let report = Report::deserialize_from_str(&junit)?;
    let cases: Vec<_> = report.test_suites.iter().flat_map(|suite| &suite.test_cases).collect();
    match &cases[..] {
        [case] if output.status.success() && case.name.as_str().starts_with(NAME) => {
            Ok(Completion::Completed)
        }
        _ => Err(format!("{cases:?}\n{said}").into()),
    }
}

fn program() -> Devnode {
    Devnode::at(env!("CARGO_BIN_EXE_devnode"))
}

/// `<backend>::<scenario>::<line>`, with the feature's file where that is not named like the backend; ignored where
/// the backend cannot be used.
fn trial(written: Written, runtime: &Handle) -> Trial {
    let feature = written.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let scenario = written.name.to_lowercase().replace(|sign: char| !sign.is_alphanumeric(), "_");
    let feature = if feature == written.deployer { String::new() } else { format!("{feature}::") };
    let name = format!("{}::{feature}{scenario}::{}", written.deployer, written.line);
    let missing = runtime.block_on(gherkin::available(&written.deployer)).err();
    let is_ignored = missing.is_some() && !logos_scenario::env::is_required(&written.deployer);
    let runtime = runtime.clone();
    let run = move || Ok(runtime.block_on(gherkin::run(&written, program()))?);
    let trial = Trial::test(name, run).with_ignored_flag(is_ignored);
    match missing {
        Some(missing) => trial.with_kind(missing.lines().next().unwrap_or_default()),
        None => trial,
    }
}
