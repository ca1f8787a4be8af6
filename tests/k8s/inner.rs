//! This program once more, as a test program of scenarios in pods.

use std::process::{Command, ExitCode};

use logos_scenario::ChainAgreement;
use logos_scenario::harness::{self, Program};
use logos_scenario::prelude::*;
use logos_scenario::topology::TopologyBuilder;
use logos_scenario_devnode::Devnode;

/// The first argument of the inner program.
pub(crate) const INNER: &str = "inner";
/// With this begins the first argument of the keeper that the inner program starts.
pub(crate) const KEEPER: &str = "--scenario-keeper";

pub(crate) fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let this = Program { main_crate: module_path!(), libraries: &[] };
    harness::run(args, this, Devnode::default(), &logos_scenario::backends())
}

/// One case of this program, in an invocation of its own.
pub(crate) fn command(case: &str, invocation: &str) -> anyhow::Result<Command> {
    #[expect(clippy::disallowed_methods, reason = "this program runs itself")]
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([INNER, "--exact", case])
        .env("NEXTEST_RUN_ID", invocation)
        // Other settings make a keeper of its own.
        .env("SCENARIO_NODE_CPUS", format!("1.{}", rand::random::<u16>()))
        .env_remove("NEXTEST_ATTEMPT")
        .env_remove("SCENARIO_REQUIRE");
    Ok(command)
}

#[scenario(backend = "k8s", validators = 2, slot = "300ms", duration = "10m")]
async fn goes_on(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

/// What it says when its fault is in force.
pub(crate) const PARTED: &str = "validator-1 is isolated";

#[scenario(backend = "k8s", validators = 2, slot = "300ms", duration = "10m", faults)]
async fn is_parted(run: &mut Run) -> Result {
    run.with_expectation(ChainAgreement::default());
    run.faults()?.isolate("validator-1").await?;
    eprintln!("{PARTED}");
    run.drive().await
}

#[scenario(
    backend = "k8s",
    validators = 2,
    slot = "300ms",
    security_param = 60,
    duration = "20 blocks",
    faults
)]
async fn is_parted_and_heals(run: &mut Run) -> Result {
    run.chaos_with(|chaos| chaos.isolate("validator-1").at_height(3).heal_after_blocks(3))
        .with_expectation(ChainAgreement::default());
    run.drive().await
}

#[scenario(backend = "k8s", validators = 2, slot = "300ms", duration = "6s")]
async fn passes(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

fn panicking(topology: TopologyBuilder) -> TopologyBuilder {
    topology.with_node("validator-1", |node| node.config("faults.panic_at", 8))
}

#[scenario(backend = "k8s", validators = 2, slot = "300ms", duration = "10m", topology = panicking)]
async fn fails(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

fn without_image(topology: TopologyBuilder) -> TopologyBuilder {
    topology.with_node("validator-1", |node| node.image("no/such:image"))
}

#[scenario(backend = "k8s", validators = 2, slot = "300ms", duration = "6s", topology = without_image)]
async fn lacks_an_image(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

/// An image of Kubernetes' own that every machine has, and that has no program of ours.
fn without_program(topology: TopologyBuilder) -> TopologyBuilder {
    topology.with_node("validator-1", |node| node.image("k8s.gcr.io/pause:3.2"))
}

#[scenario(backend = "k8s", validators = 2, slot = "300ms", duration = "6s", topology = without_program)]
async fn lacks_a_program(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}
