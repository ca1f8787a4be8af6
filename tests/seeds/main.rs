//! Many runs of healthy chains, each with another seed: none fails. `SEEDED_RUNS` says which seeds: `100` for the first
//! hundred, `17-17` for one that is to be looked at again.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::stream::{self, StreamExt};
use logos_scenario::{
    ChainAgreement, Chaos, Deployer, LocalDeployer, Report, Scenario, ScenarioBuilder, ScenarioBuilderExt,
    Topology, TopologyBuilder,
};
use logos_scenario_devnode::Devnode;

/// Clusters that a small machine bears.
const AT_A_TIME: usize = 4;

#[expect(clippy::disallowed_methods, reason = "the one setting of this test, read once")]
fn seeds() -> RangeInclusive<u64> {
    let Ok(text) = std::env::var("SEEDED_RUNS") else { return 1..=1 };
    let (first, last) = text.split_once('-').unwrap_or(("1", &text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => first..=last,
        _ => panic!("SEEDED_RUNS: expected how many seeds, `100`, or which, `17-20`; found `{text}`"),
    }
}

fn builder(topology: TopologyBuilder, seed: u64) -> ScenarioBuilder {
    ScenarioBuilder::with_topology(topology)
        .with_program(Devnode::at(env!("CARGO_BIN_EXE_devnode")))
        .with_seed(seed)
        .expect_consensus_liveness()
}

fn chaos() -> Chaos {
    let seconds = Duration::from_secs;
    let restarts =
        Chaos::default().restart().min_delay(seconds(1)).max_delay(seconds(3)).target_cooldown(seconds(4));
    let sides = (["validator-3", "validator-4"], ["validator-0", "validator-1", "validator-2"]);
    restarts.apply().partition(sides.0, sides.1).at_height(15).heal_after_blocks(10).into()
}

async fn run(scenario: &Scenario) -> anyhow::Result<Report> {
    let runner = LocalDeployer::default().deploy(scenario).await?;
    let report = runner.run(scenario).await;
    runner.teardown().await?;
    Ok(report?)
}

/// Runs as many seeds as are asked for, and fails with all that failed.
async fn each_seed(what: &str, one: impl AsyncFn(u64) -> anyhow::Result<Report>) -> anyhow::Result<()> {
    let all = stream::iter(seeds()).map(async |seed| (seed, one(seed).await));
    let ended: Vec<_> = all.buffer_unordered(AT_A_TIME).collect().await;
    let mut failed = Vec::new();
    for (seed, ended) in &ended {
        match ended {
            Ok(report) => println!("seed {seed}: {report}"),
            Err(error) => failed.push(format!("seed {seed}: {error:#}")),
        }
    }
    println!("{what}: {} runs, {} failed", ended.len(), failed.len());
    ensure!(failed.is_empty(), "{}", failed.join("\n\n"));
    Ok(())
}

/// Restarts at random and a partition, which are as the seed says.
#[tokio::test]
async fn chaos_fails_no_healthy_chain_and_repeats_from_its_seed() -> anyhow::Result<()> {
    each_seed("chaos", async |seed| {
        let topology = Topology::with_node_counts(5, 0).network_full().slot(Duration::from_millis(500));
        let scenario = builder(topology.security_param(60), seed)
            .with_run_blocks(50)
            .chaos_with(|_| chaos())
            .transactions_with(|tx| tx.rate(2).users(100).min_inclusion(0.95))
            .with_expectation(ChainAgreement::default())
            .build()?;
        let report = run(&scenario).await?;
        // As a section of a report, whose keys are in the order of the alphabet.
        let plan = serde_json::to_value(chaos().plan(&scenario.outline(), seed))?;
        let done = &report.sections["faults"];
        ensure!(
            serde_json::to_vec(&plan)? == serde_json::to_vec(done)?,
            "it did {done}, and its seed says {plan}"
        );
        let did = &report.workloads.get("chaos").context("it is chaos")?.0;
        ensure!(did.get("partitions") == Some(&1), "{did:?}");
        Ok(report)
    })
    .await
}

#[tokio::test]
async fn short_slots_fail_no_healthy_chain() -> anyhow::Result<()> {
    each_seed("short slots", async |seed| {
        let topology = Topology::with_node_counts(3, 0).slot(Duration::from_millis(200));
        let builder = builder(topology, seed).with_run_blocks(30);
        run(&builder.transactions_with(|tx| tx.rate(3).users(30)).build()?).await
    })
    .await
}
