//! The project's own tests: the scenario suite, conformance, and the runner examples, which are binaries of one
//! function.

pub mod collector;
pub mod gherkin;
pub mod inner;
pub mod nextest;
pub mod prometheus;
pub mod trials;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use logos_scenario::topology::TopologyBuilder;
use logos_scenario::{
    BuildError, ChainAgreement, Deployer, FailureClass, RunFailed, Scenario, ScenarioBuilder,
    ScenarioBuilderExt,
};
use logos_scenario_devnode::Devnode;

/// Deploys a star of devnodes, submits transactions, and judges liveness, inclusion and agreement.
#[derive(Parser)]
struct Args {
    /// Number of validators
    #[arg(short, long, env = "NOMOS_DEMO_VALIDATORS", default_value_t = 1)]
    validators: usize,
    /// Number of executors
    #[arg(short, long, env = "NOMOS_DEMO_EXECUTORS", default_value_t = 1)]
    executors: usize,
    /// Length of the window, in seconds
    #[arg(short = 't', long, env = "NOMOS_DEMO_RUN_SECS", default_value_t = 60)]
    run_seconds: u64,
    /// Length of a slot, in milliseconds
    #[arg(long, default_value_t = 2_000)]
    slot_ms: u64,
    /// Transactions per block, on average
    #[arg(short, long, default_value_t = 2)]
    rate: u64,
}

/// Runs one scenario on the clusters of a deployer and prints its report: builder and deployer by hand.
///
/// Exit codes: 0 passed, 1 failed, 2 usage, 3 backend unavailable.
pub async fn run(deployer: impl Deployer) -> ExitCode {
    let args = Args::parse();
    if let Err(unavailable) = deployer.available().await {
        eprintln!("{unavailable}");
        return ExitCode::from(3);
    }
    let scenario = match scenario(&args) {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    println!("{} validators, {} executors, {}", args.validators, args.executors, scenario.window());
    match deploy_and_run(&deployer, &scenario).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{failed}");
            let unavailable = failed.class() == FailureClass::Infrastructure;
            if unavailable { ExitCode::from(3) } else { ExitCode::FAILURE }
        }
    }
}

fn scenario(args: &Args) -> Result<Scenario, BuildError> {
    let slot = Duration::from_millis(args.slot_ms);
    let star = |t: TopologyBuilder| t.network_star().validators(args.validators).executors(args.executors);
    ScenarioBuilder::topology_with(|t| star(t).slot(slot))
        .with_program(Devnode::at(beside("devnode")))
        .wallets(50)
        .transactions_with(|txs| txs.rate(args.rate).users(20))
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default())
        .with_run_duration(Duration::from_secs(args.run_seconds))
        .build()
}

async fn deploy_and_run(deployer: &impl Deployer, scenario: &Scenario) -> Result<(), RunFailed> {
    println!("passed\n{}", deployer.run(scenario).await?);
    Ok(())
}

/// The program of that name in this program's folder.
fn beside(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}
