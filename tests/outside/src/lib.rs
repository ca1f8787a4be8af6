//! A library that has scenarios for whoever uses it.

#![deny(warnings)]

use logos_scenario::fake::FakeDeployer;
use logos_scenario::prelude::*;

/// A backend of the library's own.
pub fn in_memory() -> FakeDeployer {
    FakeDeployer::default().named("memory")
}

#[scenario(validators = 2, slot = "50ms", duration = "2s", backend = in_memory)]
async fn of_a_library_grow(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}
