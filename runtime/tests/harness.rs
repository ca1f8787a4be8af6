//! What cargo is told: this program runs itself as a test program of scenarios on a fake cluster, and
//! compares what that one prints.

use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Failed, Trial};
use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram, Fault};
use logos_scenario_runtime::prelude::*;
use logos_scenario_runtime::{Backend, harness};

type Check = fn() -> Result<(), Failed>;

/// The first argument of the inner program.
const INNER: &str = "inner";

fn main() -> ExitCode {
    let mut args = std::env::args();
    let program = args.next().into_iter();
    if args.next().as_deref() == Some(INNER) {
        let faulty = FakeDeployer::default().named("compose").with_fault("validator-0", 5, Fault::Idle);
        let backends = vec![Backend::new(FakeDeployer::default().named("local")), Backend::new(faulty)];
        return harness::run(program.chain(args), module_path!(), FakeProgram, &backends);
    }
    let checks: [(&str, Check); 11] = [
        ("a_list_is_sorted_and_complete", a_list_is_sorted_and_complete),
        ("ignored_cases_are_listed_apart", ignored_cases_are_listed_apart),
        ("several_filters_choose_what_any_of_them_does", several_filters),
        ("exact_takes_full_and_base_names", exact_takes_full_and_base_names),
        ("nothing_chosen_is_no_failure", nothing_chosen_is_no_failure),
        ("a_failure_says_everything", a_failure_says_everything),
        ("a_panic_fails_its_case_alone", a_panic_fails_its_case_alone),
        ("a_body_that_proves_nothing_fails", a_body_that_proves_nothing_fails),
        ("a_swallowed_drive_fails_all_the_same", a_swallowed_drive_fails_all_the_same),
        ("should_fail_wants_its_text", should_fail_wants_its_text),
        ("a_bad_setting_is_told_before_anything_runs", a_bad_setting_is_told),
    ];
    let trials = checks.map(|(name, check)| Trial::test(name, check)).into();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

macro_rules! quick {
    ($($(#[$attribute:meta])* $name:ident($($args:tt)*) $body:expr;)*) => {$(
        #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s", $($args)*)]
        $(#[$attribute])*
        async fn $name(run: &mut Run) -> Result {
            let body: fn(&mut Run) = $body;
            body(run);
            run.drive().await
        }
    )*};
}

mod chains {
    use super::*;

    quick! {
        grow() |run| { run.expect_consensus_liveness(); };
        grow_in_sizes(validators = [2, 3]) |run| { run.expect_consensus_liveness(); };
        stand_still(backend = "compose") |run| { run.expect_consensus_liveness(); };
        #[ignore = "for the list"]
        are_ignored() |run| { run.expect_consensus_liveness(); };
    }
}

mod bodies {
    use super::*;

    quick! {
        panic() |_| panic!("the body gave up");
        fail_otherwise(should_fail = "some other text") |_| panic!("the body gave up");
        fail_as_they_should(should_fail = "the body gave up") |_| panic!("the body gave up");
        pass_though_they_should_fail(should_fail = "a text") |run| { run.expect_consensus_liveness(); };
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s")]
    async fn prove_nothing() {}

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s", backend = "compose")]
    async fn swallow(run: &mut Run) {
        run.expect_consensus_liveness();
        let _ = run.drive().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "this program runs itself")]
fn inner(args: &[&str], env: &[(&str, &str)]) -> Output {
    let program = std::env::current_exe().expect("a program knows its path");
    let mut command = Command::new(program);
    command.arg(INNER).args(args).env_remove("NEXTEST_RUN_ID").envs(env.iter().copied());
    command.output().expect("this program can be run")
}

fn stdout(args: &[&str]) -> String {
    String::from_utf8(inner(args, &[]).stdout).expect("the harness prints text")
}

fn same<T: PartialEq + std::fmt::Debug>(seen: T, expected: T) -> Result<(), Failed> {
    if seen == expected { Ok(()) } else { Err(format!("expected {expected:?}\nseen {seen:?}").into()) }
}

/// Runs chosen cases and demands an exit code and texts.
fn demand(args: &[&str], code: i32, texts: &[&str]) -> Result<(), Failed> {
    let output = inner(args, &[]);
    let printed = String::from_utf8_lossy(&output.stdout);
    let missing: Vec<_> = texts.iter().filter(|text| !printed.contains(**text)).collect();
    if output.status.code() == Some(code) && missing.is_empty() {
        return Ok(());
    }
    Err(format!("{:?}, expected {code}; missing {missing:?} in:\n{printed}", output.status).into())
}

fn a_list_is_sorted_and_complete() -> Result<(), Failed> {
    let output = inner(&["--list"], &[]);
    same(String::from_utf8_lossy(&output.stderr).as_ref(), "")?;
    same(
        String::from_utf8_lossy(&output.stdout).as_ref(),
        "compose::bodies::swallow: test\n\
         compose::chains::stand_still: test\n\
         local::bodies::fail_as_they_should: test\n\
         local::bodies::fail_otherwise: test\n\
         local::bodies::panic: test\n\
         local::bodies::pass_though_they_should_fail: test\n\
         local::bodies::prove_nothing: test\n\
         local::chains::are_ignored: test\n\
         local::chains::grow: test\n\
         local::chains::grow_in_sizes::v2e0: test\n\
         local::chains::grow_in_sizes::v3e0: test\n",
    )
}

fn ignored_cases_are_listed_apart() -> Result<(), Failed> {
    same(
        stdout(&["--list", "--format", "terse", "--ignored"]),
        "local::chains::are_ignored: test\n".to_owned(),
    )
}

fn several_filters() -> Result<(), Failed> {
    same(
        stdout(&["--list", "stand_still", "v3e0", "prove", "--skip", "bodies"]),
        "compose::chains::stand_still: test\nlocal::chains::grow_in_sizes::v3e0: test\n".to_owned(),
    )
}

fn exact_takes_full_and_base_names() -> Result<(), Failed> {
    same(stdout(&["--list", "--exact", "local::chains::grow"]), "local::chains::grow: test\n".to_owned())?;
    same(
        stdout(&["--list", "--exact", "chains::grow_in_sizes"]),
        "local::chains::grow_in_sizes::v2e0: test\nlocal::chains::grow_in_sizes::v3e0: test\n".to_owned(),
    )
}

fn nothing_chosen_is_no_failure() -> Result<(), Failed> {
    demand(&["no_such_case"], 0, &["0 passed; 0 failed; 0 ignored", "11 filtered out"])
}

fn a_failure_says_everything() -> Result<(), Failed> {
    demand(
        &["compose::chains::stand_still"],
        101,
        &[
            "ConsensusLiveness failed (product)",
            "expected: every node to grow by at least ",
            "validator-0: height 5, tip ",
            "no block for ",
            "look at: ",
            "try: ",
            "repeat with: SCENARIO_SEED=",
            "cargo test -p logos-scenario-runtime -- --exact compose::chains::stand_still",
            "files: ",
        ],
    )
}

fn a_panic_fails_its_case_alone() -> Result<(), Failed> {
    demand(
        &["bodies::panic", "chains::grow"],
        101,
        &[
            "body failed (test)",
            "a panic: the body gave up",
            "look at: runtime/tests/harness.rs:",
            "3 passed; 1 failed",
        ],
    )
}

fn a_body_that_proves_nothing_fails() -> Result<(), Failed> {
    demand(&["prove_nothing"], 101, &["such a scenario proves nothing", "run.drive().await"])
}

fn a_swallowed_drive_fails_all_the_same() -> Result<(), Failed> {
    demand(&["swallow"], 101, &["ConsensusLiveness failed (product)"])
}

fn should_fail_wants_its_text() -> Result<(), Failed> {
    demand(&["fail_as_they_should"], 0, &["1 passed"])?;
    demand(
        &["fail_otherwise"],
        101,
        &["should fail with `some other text`, but failed otherwise", "gave up"],
    )?;
    demand(&["pass_though_they_should_fail"], 101, &["passed, but should fail with `a text`"])
}

fn a_bad_setting_is_told() -> Result<(), Failed> {
    let output = inner(&[], &[("SCENARIO_MAX_NODES", "many"), ("SLOW_TEST_ENV", "perhaps")]);
    same(output.status.code(), Some(101))?;
    same(
        String::from_utf8_lossy(&output.stderr).as_ref(),
        "error: SCENARIO_MAX_NODES: `many`, expected a number of nodes, at least 1; try 20\n\
         error: SLOW_TEST_ENV: `perhaps`, expected 1/true/yes/on or 0/false/no/off; try true\n",
    )
}
