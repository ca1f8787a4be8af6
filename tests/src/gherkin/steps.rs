//! The phrases, and what they tell the builder of a scenario.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use cucumber::{World, given, then, when};
use logos_scenario::topology::TopologyBuilder;
use logos_scenario::{
    BuildError, Chaos, ComposeDeployer, ConsensusLiveness, Deployer, K8sDeployer, LocalDeployer, Scenario,
    ScenarioBuilder, ScenarioBuilderExt,
};

use super::{DEPLOYERS, PROGRAM};

/// What a scenario's steps said so far.
#[derive(Default, World)]
pub(super) struct Steps {
    deployer: String,
    topology: TopologyBuilder,
    wallets: Option<(u64, usize)>,
    window: Option<Duration>,
    seed: Option<u64>,
    parts: Vec<Part>,
    /// All that is done to nodes: one workload.
    chaos: Option<Chaos>,
    cuts_links: bool,
    /// What came of the run, or all there is to say of why it failed or could not be.
    outcome: Option<Result<(), String>>,
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").field("deployer", &self.deployer).finish_non_exhaustive()
    }
}

/// A workload or an expectation.
type Part = Box<dyn Fn(ScenarioBuilder) -> ScenarioBuilder + Send>;

impl Steps {
    fn add(&mut self, part: impl Fn(ScenarioBuilder) -> ScenarioBuilder + Send + 'static) {
        self.parts.push(Box::new(part));
    }

    fn disturb(&mut self, with: impl FnOnce(Chaos) -> Chaos) {
        self.chaos = Some(with(self.chaos.take().unwrap_or_default()));
    }

    fn scenario(&mut self) -> Result<Result<Scenario, BuildError>> {
        let program = PROGRAM.get().context("no node program is known")?.clone();
        let mut builder =
            ScenarioBuilder::with_topology(std::mem::take(&mut self.topology)).with_program(program);
        if let Some((total, users)) = self.wallets {
            builder = builder.with_wallet_config(total, users);
        }
        if let Some(window) = self.window {
            builder = builder.with_run_duration(window);
        }
        if let Some(seed) = self.seed {
            builder = builder.with_seed(seed);
        }
        if let Some(chaos) = self.chaos.clone() {
            builder = builder.enable_node_control().chaos_with(|_| chaos);
        }
        if self.cuts_links {
            builder = builder.enable_faults();
        }
        Ok(self.parts.iter().fold(builder, |builder, part| part(builder)).build())
    }

    fn outcome(&self) -> Result<&Result<(), String>> {
        self.outcome.as_ref().context("nothing was run: write `When run scenario` before")
    }
}

async fn deploy_and_run(deployer: &impl Deployer, scenario: &Scenario) -> Result<(), String> {
    deployer.run(scenario).await.map(drop).map_err(|failed| failed.to_string())
}

#[given(expr = "deployer is {string}")]
fn deployer(steps: &mut Steps, name: String) -> Result<()> {
    if !DEPLOYERS.contains(&name.as_str()) {
        bail!("there is no deployer `{name}`; there are {}", DEPLOYERS.join(", "));
    }
    steps.deployer = name;
    Ok(())
}

#[given(expr = "topology has {int} validators and {int} executors")]
fn topology(steps: &mut Steps, validators: usize, executors: usize) {
    steps.topology = std::mem::take(&mut steps.topology).validators(validators).executors(executors);
}

#[given(expr = "topology layout is {string}")]
fn dials(steps: &mut Steps, layout: String) -> Result<()> {
    let topology = std::mem::take(&mut steps.topology);
    steps.topology = match layout.as_str() {
        "star" => topology.network_star(),
        "chain" => topology.network_chain(),
        "full" => topology.network_full(),
        other => bail!("there is no layout `{other}`; there are star, chain, full"),
    };
    Ok(())
}

#[given(expr = "slot duration is {int} milliseconds")]
fn slot(steps: &mut Steps, milliseconds: u64) {
    steps.topology = std::mem::take(&mut steps.topology).slot(Duration::from_millis(milliseconds));
}

#[given(expr = "wallets total funds is {int} split across {int} users")]
fn wallets(steps: &mut Steps, total: u64, users: usize) {
    steps.wallets = Some((total, users));
}

#[given(expr = "run duration is {int} seconds")]
fn window(steps: &mut Steps, seconds: u64) {
    steps.window = Some(Duration::from_secs(seconds));
}

#[given(expr = "seed is {int}")]
fn seeded(steps: &mut Steps, seed: u64) {
    steps.seed = Some(seed);
}

#[given(expr = "transactions rate is {int} per block")]
fn transactions(steps: &mut Steps, rate: u64) {
    steps.add(move |builder| builder.transactions_with(|txs| txs.rate(rate)));
}

#[given(expr = "transactions rate is {int} per block using {int} users")]
fn transactions_of_users(steps: &mut Steps, rate: u64, users: usize) {
    steps.add(move |builder| builder.transactions_with(|txs| txs.rate(rate).users(users)));
}

#[given(expr = "data availability channel rate is {int} per block and blob rate is {int} per block")]
fn data(steps: &mut Steps, channels: u64, blobs: u64) {
    steps.add(move |builder| builder.da_with(|da| da.channel_rate(channels).blob_rate(blobs)));
}

#[given(expr = "node {string} is killed at height {int} and comes back after {int} blocks")]
fn killed(steps: &mut Steps, node: String, height: u64, blocks: u64) {
    steps.disturb(|chaos| chaos.node(&node).at_height(height).kill().restart_after_blocks(blocks).and());
}

#[given(expr = "node {string} is restarted at height {int}")]
fn restarted(steps: &mut Steps, node: String, height: u64) {
    steps.disturb(|chaos| chaos.node(&node).at_height(height).restart().and());
}

#[given(expr = "node {string} is paused at height {int} for {int} blocks")]
fn paused(steps: &mut Steps, node: String, height: u64, blocks: u64) {
    steps.disturb(|chaos| chaos.node(&node).at_height(height).pause().resume_after_blocks(blocks).and());
}

#[given(expr = "node {string} is cut off at height {int} for {int} blocks")]
fn cut_off(steps: &mut Steps, node: String, height: u64, blocks: u64) {
    steps.cuts_links = true;
    steps.disturb(|chaos| chaos.isolate(&node).at_height(height).heal_after_blocks(blocks).and());
}

#[given(expr = "expect consensus liveness")]
fn liveness(steps: &mut Steps) {
    steps.add(ScenarioBuilder::expect_consensus_liveness);
}

#[given(expr = "consensus liveness lag allowance is {int}")]
fn lag(steps: &mut Steps, blocks: u64) {
    steps.add(move |builder| builder.with_expectation(ConsensusLiveness::default().lag_allowance(blocks)));
}

#[when("run scenario")]
async fn run_scenario(steps: &mut Steps) -> Result<()> {
    let scenario = steps.scenario()?;
    let outcome = match (steps.deployer.as_str(), scenario) {
        (_, Err(error)) => Err(error.to_string()),
        ("local", Ok(scenario)) => deploy_and_run(&LocalDeployer::default(), &scenario).await,
        ("compose", Ok(scenario)) => deploy_and_run(&ComposeDeployer::default(), &scenario).await,
        ("k8s", Ok(scenario)) => deploy_and_run(&K8sDeployer::default(), &scenario).await,
        _ => bail!("no deployer is given: write `Given deployer is \"local\"`"),
    };
    steps.outcome = Some(outcome);
    Ok(())
}

#[then("scenario should succeed")]
fn succeeded(steps: &mut Steps) -> Result<()> {
    steps.outcome()?.clone().map_err(|failed| anyhow!(failed))
}

#[then(expr = "scenario should fail with {string}")]
fn failed(steps: &mut Steps, text: String) -> Result<()> {
    match steps.outcome()? {
        Ok(()) => bail!("the scenario passed, but should fail with `{text}`"),
        Err(failed) if failed.contains(&text) => Ok(()),
        Err(failed) => bail!("the scenario should fail with `{text}`, but failed otherwise:\n{failed}"),
    }
}
