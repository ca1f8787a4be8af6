//! What a body can do besides registering and driving, and how it can fail.

use std::time::Duration;

use anyhow::{Context, ensure};
use logos_scenario::prelude::*;
use logos_scenario::wait;

#[scenario(backend = ["local", "compose", "k8s"], validators = 2, slot = "500ms", duration = "8s")]
async fn may_leave_the_driving_to_the_harness(run: &mut Run) {
    run.expect_consensus_liveness();
}

#[scenario(backend = ["local", "compose", "k8s"], validators = 2, slot = "500ms", duration = "8s")]
async fn may_act_while_the_scenario_runs(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    let started = run.start().await?;
    let node = started.context().node_clients().by_name("validator-1").context("two validators")?.clone();
    wait::until("height 5", Duration::from_secs(30), async || match node.consensus_info().await {
        Ok(info) if info.height >= 5 => Ok(()),
        Ok(info) => Err(format!("height {}", info.height)),
        Err(error) => Err(error.to_string()),
    })
    .await?;
    let report = started.finish().await?;
    ensure!(report.held.iter().any(|name| name == "ConsensusLiveness"));
    Ok(())
}

#[scenario(backend = ["local", "compose", "k8s"], should_fail = "a panic: the body gave up")]
async fn that_panic_fail(run: &mut Run) {
    run.expect_consensus_liveness();
    panic!("the body gave up");
}

#[scenario(backend = ["local", "compose"], should_fail = "an error: nothing is right")]
async fn that_return_an_error_fail(_run: &mut Run) -> Result {
    anyhow::bail!("nothing is right")
}

#[scenario(backend = ["local", "compose"], should_fail = "such a scenario proves nothing")]
async fn that_prove_nothing_fail() {}

#[scenario(backend = ["local", "compose"], should_fail = "no_blocks failed", slot = "500ms", duration = "8s")]
async fn cannot_swallow_a_failed_drive(run: &mut Run) {
    run.with_expectation(NoBlocks);
    let _ = run.drive().await;
}

#[scenario(
    backend = ["local", "compose"],
    slot = "500ms",
    duration = "60s",
    timeout = "3s",
    should_fail = "they were still running"
)]
async fn that_take_too_long_fail(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

/// An expectation that no living chain fulfils.
struct NoBlocks;

impl Expectation for NoBlocks {
    type Baseline = u64;

    fn name(&self) -> &str {
        "no_blocks"
    }

    async fn capture(&self, cx: &logos_scenario::RunContext) -> Result<u64, logos_scenario::Failure> {
        Ok(cx.feed().best_height())
    }

    async fn judge(
        &self,
        cx: &logos_scenario::RunContext,
        before: u64,
    ) -> Result<(), logos_scenario::Failure> {
        cx.settled().await;
        let height = cx.feed().best_height();
        if height == before {
            return Ok(());
        }
        Err(logos_scenario::Failure::new(logos_scenario::FailureClass::Product, "no_blocks")
            .expected(format!("height {before}"))
            .seen(format!("height {height}")))
    }
}
