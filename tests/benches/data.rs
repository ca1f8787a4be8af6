//! What blobs cost a cluster of 3 validators and 2 executors: 200 of 1 KiB over four channels, then as many as come
//! in a minute of 64 and of 512 KiB, each read back and compared.
//!
//!     cargo bench --profile dev --workspace --bench data
//!     cargo bench --profile dev --workspace --bench data -- compose

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use logos_scenario::workload::BlobSummary;
use logos_scenario::{
    ComposeDeployer, Deployer, LocalDeployer, Scenario, ScenarioBuilder, ScenarioBuilderExt,
};
use logos_scenario_devnode::Devnode;

/// Four channels publish that many in the first run, where each waits for its last blob to be in a block.
const LEAST: usize = 200;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // In containers these are the same runs; the processes that are measured are found on the local backend only.
    let in_containers = std::env::args().any(|argument| argument == "compose");
    for (size, seconds, least) in [(1024, 120, LEAST), (64 * 1024, 60, 1), (512 * 1024, 60, 1)] {
        let window = Duration::from_secs(seconds);
        let summary = match in_containers {
            true => measure(&ComposeDeployer::default(), size, window).await?,
            false => measure(&LocalDeployer::default(), size, window).await?,
        };
        ensure!(summary.published >= least, "{} were published, not {least}", summary.published);
        ensure!(summary.retrieved == summary.published, "{}", summary.counts());
    }
    Ok(())
}

fn scenario(size: usize, window: Duration) -> anyhow::Result<Scenario> {
    let builder = ScenarioBuilder::topology_with(|t| {
        t.network_star().validators(3).executors(2).slot(Duration::from_millis(500))
    });
    let scenario = builder
        .with_program(Devnode::at(env!("CARGO_BIN_EXE_devnode")))
        .da_with(|da| da.channel_rate(4).headroom_percent(0).blob_rate(3).blob_size(size))
        .expect_consensus_liveness()
        .with_run_duration(window)
        .build()?;
    Ok(scenario)
}

async fn measure(deployer: &impl Deployer, size: usize, window: Duration) -> anyhow::Result<BlobSummary> {
    let (scenario, seconds) = (scenario(size, window)?, window.as_secs_f64());
    let runner = deployer.deploy(&scenario).await?;
    let before = children()?;
    let outcome = runner.run(&scenario).await;
    let after = children()?;
    runner.teardown().await?;
    let report = outcome?;
    let summary: BlobSummary = serde_json::from_value(report.sections["blobs"].clone())?;
    println!(
        "\n{} KiB asked for, {} bytes each: {}",
        summary.size_asked / 1024,
        summary.size,
        summary.counts()
    );
    tell_times(&summary);
    println!(
        "{:.0} kB/s dispersed, included and read back",
        (summary.published * summary.size) as f64 / 1e3 / seconds
    );
    for (node, usage) in after {
        let Some((_, earlier)) = before.iter().find(|(other, _)| *other == node) else { continue };
        let cpu = usage.cpu - earlier.cpu;
        println!(
            "{node}: {:.1} % of a core, {:.0} ms of CPU per blob; {:.0} MB resident, {:.0} MB at most",
            100.0 * cpu / seconds,
            1000.0 * cpu / summary.published as f64,
            usage.resident,
            usage.most,
        );
    }
    Ok(summary)
}

fn tell_times(summary: &BlobSummary) {
    let times = [
        ("until the executor answered", &summary.dispersal_seconds),
        ("until a block had it", &summary.inclusion_seconds),
        ("from there until it was read back", &summary.retrieval_seconds),
    ];
    for (what, times) in times {
        let Some(times) = times else { continue };
        println!("{what}: p50 {:.2} s, p95 {:.2} s, most {:.2} s", times.p50, times.p95, times.max);
    }
}

/// What a process has used.
struct Usage {
    /// In seconds.
    cpu: f64,
    /// In megabytes now.
    resident: f64,
    /// In megabytes at most so far.
    most: f64,
}

/// The nodes, by the folders of their configurations: they are children of whoever deployed them.
fn children() -> anyhow::Result<Vec<(String, Usage)>> {
    let mut nodes = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let children = fs::read_to_string(thread?.path().join("children"))?;
        for child in children.split_whitespace() {
            let command = fs::read_to_string(format!("/proc/{child}/cmdline"))?;
            let folder = command.trim_end_matches('\0').strip_suffix("/config.yaml");
            let Some((_, node)) = folder.and_then(|folder| folder.rsplit_once('/')) else { continue };
            nodes.push((node.to_owned(), Usage::of(child)?));
        }
    }
    nodes.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(nodes)
}

impl Usage {
    fn of(process: &str) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let megabytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
            anyhow::Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
        };
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let statistics = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += statistics.split_whitespace().next().context("no time")?.parse::<u64>()?;
        }
        Ok(Self { cpu: nanoseconds as f64 / 1e9, resident: megabytes("VmRSS:")?, most: megabytes("VmHWM:")? })
    }
}
