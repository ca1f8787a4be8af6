//! The scenarios of a user's package and of its library, beside plain tests.

#![deny(warnings)]

use logos_scenario::fake::FakeProgram;
use logos_scenario::prelude::*;
use logos_scenario::test;
use logos_scenario_outside::in_memory;

#[scenario(validators = [1, 2], slot = "50ms", duration = "2s", backend = in_memory, tags = ["smoke"])]
async fn of_two_sizes_grow(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

#[scenario(backend = in_memory)]
#[ignore = "shows how ignored ones are reported"]
async fn that_are_ignored(_: &mut Run) {}

#[scenario(slot = "50ms", backend = in_memory, should_fail = "such a scenario proves nothing")]
async fn without_a_body() {}

#[test]
fn names_of_backends_are_short() {
    assert_eq!(Deployer::name(&in_memory()), "memory");
}

/// A setting of a backend that is not even used here is no reason to skip anything.
#[test]
fn bad_settings_are_refused_all_at_once() {
    #[expect(clippy::disallowed_methods, reason = "this program runs itself")]
    let mut this = std::process::Command::new(std::env::current_exe().unwrap());
    let this = this.arg("--list").env("SCENARIO_SEED", "x").env("NOMOS_LOG_LEVEL", "loud").output().unwrap();
    let said = String::from_utf8_lossy(&this.stderr);
    assert_eq!(this.status.code(), Some(101), "{said}");
    for bad in ["error: SCENARIO_SEED: `x`, expected", "error: NOMOS_LOG_LEVEL: `loud`, expected"] {
        assert!(said.contains(bad), "{said}");
    }
}

#[test]
async fn plain_tests_may_await() -> Result<(), String> {
    std::future::ready(Ok(())).await
}

logos_scenario::main!(program = FakeProgram, scenarios = [logos_scenario_outside]);
