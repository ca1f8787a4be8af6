//! This program once more, as a test program of scenarios that tell a collector of themselves.

use std::process::{Command, ExitCode, Output};

use anyhow::ensure;
use logos_scenario::ChainAgreement;
use logos_scenario::harness::{self, Program};
use logos_scenario::prelude::*;
use logos_scenario_devnode::Devnode;

/// The first argument of the inner program.
pub(crate) const INNER: &str = "inner";
/// With this begins the first argument of the keeper that the inner program starts.
pub(crate) const KEEPER: &str = "--scenario-keeper";
/// Everything that says where telemetry goes.
const SETTINGS: [&str; 6] = [
    "NOMOS_OTLP_ENDPOINT",
    "NOMOS_OTLP_METRICS_ENDPOINT",
    "NOMOS_METRICS_OTLP_INGEST_URL",
    "NOMOS_METRICS_QUERY_URL",
    "NOMOS_GRAFANA_URL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

pub(crate) fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let this = Program { main_crate: module_path!(), libraries: &[] };
    let devnode = Devnode::at(env!("CARGO_BIN_EXE_devnode"));
    harness::run(args, this, devnode, &logos_scenario::backends())
}

#[scenario(
    backend = ["local", "compose", "k8s"],
    cluster = "fresh",
    validators = 2,
    executors = 1,
    slot = "300ms",
    duration = "12s"
)]
async fn sends(run: &mut Run) -> Result {
    run.transactions_with(|txs| txs.rate(2).users(10))
        .da_with(|da| da.channel_rate(1).blob_rate(1))
        .expect_consensus_liveness();
    run.drive().await
}

#[scenario(
    backend = ["local", "compose", "k8s"],
    cluster = "fresh",
    validators = 3,
    layout = "full",
    security_param = 60,
    slot = "300ms",
    duration = "30 blocks",
    faults
)]
async fn is_cut_off(run: &mut Run) -> Result {
    run.chaos_with(|chaos| {
        chaos.partition(["validator-2"], ["validator-0", "validator-1"]).at_height(5).heal_after_blocks(5)
    })
    .with_expectation(ChainAgreement::default());
    run.drive().await
}

#[scenario(validators = 2, slot = "300ms", duration = "6s")]
async fn shares_one(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

#[scenario(validators = 2, slot = "300ms", duration = "6s")]
async fn shares_two(run: &mut Run) -> Result {
    run.with_expectation(ChainAgreement::default());
    run.drive().await
}

/// What an invocation of this program said, which passed, and its name.
pub(crate) struct Told {
    pub(crate) invocation: String,
    pub(crate) said: String,
}

/// Runs cases with settings, and awaits that they pass.
pub(crate) async fn passes(cases: &[&str], settings: &[(&str, &str)]) -> anyhow::Result<Told> {
    let invocation = format!("telemetry-{:016x}", rand::random::<u64>());
    #[expect(clippy::disallowed_methods, reason = "this program runs itself")]
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(INNER).args(cases).args(["--exact", "--nocapture"]);
    SETTINGS.iter().for_each(|name| _ = command.env_remove(name));
    command
        .env("NEXTEST_RUN_ID", &invocation)
        // Other settings make a keeper of its own.
        .env("SCENARIO_NODE_CPUS", format!("1.{}", rand::random::<u16>()))
        .env_remove("NEXTEST_ATTEMPT")
        .env_remove("SCENARIO_REQUIRE")
        .envs(settings.iter().copied());
    let count = cases.len();
    let ended = tokio::task::spawn_blocking(move || command.output()).await??;
    let Output { status, stdout, stderr } = ended;
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let all = said.contains(&format!("{count} passed"));
    ensure!(status.success() && all, "ended with {status}:\n{said}");
    Ok(Told { invocation, said })
}
