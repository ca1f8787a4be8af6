//! What cargo is told: this program runs itself as a test program of scenarios on a fake cluster, and
//! compares what that one prints.

mod choosing;
mod nextest;
mod pages;
mod running;
mod scenarios;
mod signals;
mod terminal;

use std::process::{Command, ExitCode, Output, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use logos_scenario_runtime::fake::FakeProgram;
use logos_scenario_runtime::harness::{self, Program};

type Check = (&'static str, fn() -> Result<(), Failed>);

/// The first argument of the inner program.
const INNER: &str = "inner";
/// The first argument of an inner program that is to have the scenarios of a library which it has not.
const WITHOUT_LIBRARY: &str = "inner-without-library";

fn main() -> ExitCode {
    let mut args = std::env::args();
    let program = args.next().into_iter();
    let libraries: &[&str] = match args.next().as_deref() {
        Some(INNER) => &[],
        Some(WITHOUT_LIBRARY) => &["their_scenarios"],
        _ => return check(),
    };
    let this = Program { main_crate: module_path!(), libraries };
    harness::run(program.chain(args), this, FakeProgram, &scenarios::backends())
}

fn check() -> ExitCode {
    let checks =
        [choosing::CHECKS, pages::CHECKS, running::CHECKS, signals::CHECKS, terminal::CHECKS].concat();
    let mut trials: Vec<_> = checks.into_iter().map(|(name, check)| Trial::test(name, check)).collect();
    trials.push(pages::in_a_browser());
    trials.extend(nextest::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[expect(clippy::disallowed_methods, reason = "this program runs itself")]
fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
    let program = std::env::current_exe().expect("a program knows its path");
    let mut command = Command::new(program);
    for foreign in [
        "NEXTEST_RUN_ID",
        "GITHUB_ACTIONS",
        "SCENARIO_TAGS",
        "SCENARIO_REQUIRE",
        "RUST_LOG",
        "RUST_BACKTRACE",
    ] {
        command.env_remove(foreign);
    }
    command.args(args).envs(env.iter().copied()).stdin(Stdio::null());
    command
}

fn inner(args: &[&str], env: &[(&str, &str)]) -> Output {
    command(&[&[INNER], args].concat(), env).output().expect("this program can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn stdout(args: &[&str]) -> String {
    text(&inner(args, &[]).stdout)
}

fn same<T: PartialEq + std::fmt::Debug>(seen: T, expected: T) -> Result<(), Failed> {
    if seen == expected { Ok(()) } else { Err(format!("expected {expected:?}\nseen {seen:?}").into()) }
}

fn has(printed: &str, texts: &[&str]) -> Result<(), Failed> {
    let missing: Vec<_> = texts.iter().filter(|text| !printed.contains(**text)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("missing {missing:?} in:\n{printed}").into()) }
}

fn has_not(printed: &str, word: &str) -> Result<(), Failed> {
    if printed.contains(word) { Err(format!("`{word}` is in:\n{printed}").into()) } else { Ok(()) }
}

/// Runs chosen cases and demands an exit code and texts.
fn demand(args: &[&str], code: i32, texts: &[&str]) -> Result<(), Failed> {
    let output = inner(args, &[]);
    let printed = text(&output.stdout);
    if output.status.code() != Some(code) {
        let said = text(&output.stderr);
        return Err(format!("{:?}, expected {code}:\n{printed}\n{said}", output.status).into());
    }
    has(&printed, texts)
}
