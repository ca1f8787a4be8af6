//! Which expectation finds which fault: every fault of the in-tree node and the main failures of what it runs on,
//! each on a cluster of its own under all standard expectations, and latency where that is the fault. README's table
//! is printed from the rows here, and the test shows that it is so.

mod rows;
mod table;

use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use logos_scenario::{
    ChainAgreement, ComposeDeployer, ConsensusLiveness, Deployer, Failure, FailureClass, LocalDeployer,
    LogPattern, RunFailed, ScenarioBuilder, ScenarioBuilderExt, wait,
};
use logos_scenario_devnode::Devnode;
use rand::seq::IteratorRandom;
use rows::{Act, Row, rows};

/// How many clusters run at once: the nodes share two cores on the smallest machine, where they mostly wait for a slot.
const AT_ONCE: usize = 7;

/// Blocks by which a node may be behind: on a busy machine one may wait for seconds, and each is a block.
const LAG: u64 = 6;

/// What came of a row.
struct Found {
    row: Row,
    /// Blocks from the capture until the verdict; none where the cluster never became ready.
    blocks: Option<u64>,
    /// What failed, the most telling first.
    failed: Option<RunFailed>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_found_by_the_expectation_that_is_for_it() -> anyhow::Result<()> {
    check(&LocalDeployer::default(), rows()).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes some minutes, and an image of the node"]
async fn every_fault_is_found_in_containers_too() -> anyhow::Result<()> {
    let rows = rows().into_iter().filter(|row| !row.only_local);
    check(&ComposeDeployer::default(), rows.collect()).await
}

/// Nobody but the first failure says which fault it was.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes"]
async fn a_fault_at_random_is_named_rightly() -> anyhow::Result<()> {
    const RUNS: usize = 200;
    let mut faults: Vec<Row> = Vec::new();
    while faults.len() < RUNS {
        faults.extend(rows().into_iter().filter(|row| row.caught.is_some()).choose(&mut rand::rng()));
    }
    let found = all(&LocalDeployer::default(), faults).await?;
    let wrong: Vec<_> = found.iter().filter(|found| found.named() != [found.row.name]).collect();
    wrong.iter().for_each(|found| println!("{}\n{}", found.line(), found.told()));
    println!("{} of {RUNS} are named rightly", RUNS - wrong.len());
    assert!(wrong.len() * 20 <= RUNS, "{} of {RUNS} are not named rightly", wrong.len());
    Ok(())
}

/// Tries each row, prints what found it, and demands that it is what should.
async fn check(deployer: &impl Deployer, rows: Vec<Row>) -> anyhow::Result<()> {
    let mut found = all(deployer, rows).await?;
    found.sort_by_key(|found| found.row.number);
    found.iter().for_each(|found| println!("{}", found.line()));
    let wrong: Vec<_> = found.iter().filter_map(Found::wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

async fn all(deployer: &impl Deployer, rows: Vec<Row>) -> anyhow::Result<Vec<Found>> {
    // Whoever takes longest begins.
    let mut rows = rows;
    rows.sort_by_key(|row| std::cmp::Reverse(row.window));
    let runs = rows.into_iter().map(|row| async move {
        let name = row.name;
        tried(deployer, row).await.with_context(|| name)
    });
    stream::iter(runs).buffer_unordered(AT_ONCE).try_collect().await
}

impl Found {
    /// What failed first, when, and what failed besides.
    fn line(&self) -> String {
        let failures = self.failed.iter().flat_map(|failed| &failed.failures);
        let mut subjects = failures.map(|it| format!("{} ({})", it.subject, it.class));
        let first = subjects.next().unwrap_or_else(|| "nothing".to_owned());
        let after = self.blocks.map_or("at the start".to_owned(), |blocks| format!("after {blocks} blocks"));
        format!("{:<32} {first:<42} {after:<16} {}", self.row.name, subjects.collect::<Vec<_>>().join(", "))
    }

    fn first(&self) -> Option<&Failure> {
        self.failed.as_ref()?.failures.first()
    }

    /// Which faults the first failure's text may mean.
    fn named(&self) -> Vec<&'static str> {
        let Some(text) = self.first().map(ToString::to_string) else { return Vec::new() };
        rows().into_iter().filter(|row| row.is_told_by(&text)).map(|row| row.name).collect()
    }

    fn told(&self) -> String {
        self.failed.as_ref().map_or("nothing failed".to_owned(), ToString::to_string)
    }

    /// What is wrong with how the fault was found.
    fn wrong(&self) -> Option<String> {
        let what = match (&self.row.caught, self.first()) {
            (None, None) => return None,
            (None, Some(_)) => "nothing should fail".to_owned(),
            (Some(caught), Some(first)) if (&*first.subject, first.class) == (caught.by, caught.class) => {
                let named = self.named();
                if named == [self.row.name] {
                    return None;
                }
                format!("is told as {named:?}")
            }
            (Some(Caught { by, class }), _) => format!("{by} ({class}) should fail first"),
        };
        Some(format!("{}: {what}\n{}", self.row.name, self.told()))
    }
}

async fn tried(deployer: &impl Deployer, row: Row) -> anyhow::Result<Found> {
    let scenario = row.scenario(full)?;
    let runner = match deployer.deploy(&scenario).await {
        Ok(runner) => runner,
        Err(failed) => return Ok(Found { row, blocks: None, failed: Some(failed) }),
    };
    let driving = match runner.start(&scenario).await {
        Ok(driving) => driving,
        Err(failed) => {
            runner.teardown().await?;
            return Ok(Found { row, blocks: Some(0), failed: Some(failed) });
        }
    };
    let began = runner.feed().best_height();
    if let Act::Signal(signal) = row.act {
        let grown = || async {
            let height = runner.feed().best_height();
            if height >= began + 3 { Ok(()) } else { Err(format!("height {height}")) }
        };
        wait::until("three blocks", Duration::from_secs(60), grown).await?;
        rows::signal_node(driving.context(), "validator-1", signal)?;
    }
    let failed = driving.finish().await.err();
    let blocks = Some(runner.feed().best_height() - began);
    runner.teardown().await?;
    Ok(Found { row, blocks, failed })
}

/// Everything that is judged on every row, and holds of a healthy one on a busy machine too.
fn full(builder: ScenarioBuilder) -> ScenarioBuilder {
    builder
        .with_program(Devnode::at(env!("CARGO_BIN_EXE_devnode")))
        .transactions_with(|txs| txs.rate(2).users(20))
        .with_expectation(ConsensusLiveness::default().lag_allowance(LAG))
        .with_expectation(ChainAgreement::default().lag_allowance(LAG))
        .with_expectation(LogPattern::new("equivocation: ").at_most(0))
}

/// Who should find a fault.
struct Caught {
    by: &'static str,
    class: FailureClass,
}
