//! What a thousand transactions per second cost one process: signed, submitted and tracked to their blocks.
//!
//! The cluster is the fake one in the same process, so its own work is in the figures; what is printed is
//! an upper bound on what the framework takes.

use std::error::Error;
use std::time::{Duration, Instant};

use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram};
use logos_scenario_runtime::workload::Summary;
use logos_scenario_runtime::{Deployer, ScenarioBuilder, ScenarioBuilderExt};

/// At 0.9 blocks per second these are 1,000 transactions per second.
const RATE: u64 = 1_112;
const WINDOW: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let users = RATE as usize * 3;
    let scenario = ScenarioBuilder::topology_with(|t| t.validators(4).slot(Duration::from_secs(1)))
        .with_program(FakeProgram)
        .wallets(users)
        .transactions_with(|tx| tx.rate(RATE).users(users))
        .expect_consensus_liveness()
        .with_run_duration(WINDOW)
        .build()?;
    let runner = FakeDeployer::default().deploy(&scenario).await?;
    let (began, before) = (Instant::now(), Usage::now()?);
    let outcome = runner.run(&scenario).await;
    let (took, after) = (began.elapsed(), Usage::now()?);
    runner.teardown().await?;
    let report = outcome?;
    let summary: Summary = serde_json::from_value(report.sections["transactions"].clone())?;
    let cpu = after.cpu - before.cpu;
    let per_second = summary.submitted as f64 / WINDOW.as_secs_f64();
    println!("{}", summary.counts());
    println!("{}", summary.latency().unwrap_or_default());
    println!(
        "{per_second:.0} transactions per second over {} s; {:.1} s in all",
        WINDOW.as_secs(),
        took.as_secs_f64()
    );
    println!(
        "{:.1} s of CPU ({:.0} % of a core, {:.0} µs per transaction); {:.0} MB resident, {:.0} MB before, {:.0} MB at most",
        cpu.as_secs_f64(),
        cpu.as_secs_f64() / took.as_secs_f64() * 100.0,
        cpu.as_secs_f64() * 1e6 / summary.submitted as f64,
        after.resident,
        before.resident,
        after.most,
    );
    Ok(())
}

/// What this process has used.
struct Usage {
    cpu: Duration,
    /// Megabytes now.
    resident: f64,
    /// Megabytes at most so far.
    most: f64,
}

impl Usage {
    fn now() -> Result<Self, Box<dyn Error>> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let megabytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
            kilobytes.unwrap_or(f64::NAN) / 1024.0
        };
        // The first field is nanoseconds on a processor.
        let threads = std::fs::read_dir("/proc/self/task")?.filter_map(Result::ok);
        let nanoseconds = threads.filter_map(|thread| {
            let statistics = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            statistics.split_whitespace().next()?.parse::<u64>().ok()
        });
        Ok(Self {
            cpu: Duration::from_nanos(nanoseconds.sum()),
            resident: megabytes("VmRSS:"),
            most: megabytes("VmHWM:"),
        })
    }
}
