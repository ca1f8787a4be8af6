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

#[test]
async fn plain_tests_may_await() -> Result<(), String> {
    std::future::ready(Ok(())).await
}

logos_scenario::main!(program = FakeProgram, scenarios = [logos_scenario_outside]);
