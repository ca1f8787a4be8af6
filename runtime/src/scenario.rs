//! One plan: topology, workloads, expectations and times, validated once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::deployer::Capabilities;
use crate::env::{self, GRAFANA_URL, METRICS_URL, http_url};
pub(crate) use crate::expectation::bound::FALSE_FAILURES;
use crate::expectation::bound::Growth;
use crate::expectation::{AnyExpectation, ConsensusLiveness, Expectation, NoCrash};
pub use crate::failure::BuildError;
use crate::failure::Problem;
use crate::node::NodeProgram;
use crate::plan::{ClusterKey, Plan};
use crate::topology::{Consensus, Topology, TopologyBuilder};
use crate::workload::{AnyWorkload, Blobs, Chaos, Transactions, Workload};

/// What to try where a URL for metrics is none.
const INGEST_URL: &str = "try http://127.0.0.1:9090/api/v1/otlp/v1/metrics";

/// For how long a chain is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// A time.
    Time(Duration),
    /// Growth of the best tip in blocks, with the deadline that a healthy chain misses once in a million.
    Blocks(u64),
}

impl Window {
    /// Mean number of blocks in the window without message delay.
    #[must_use]
    pub fn expected_blocks(self, consensus: &Consensus) -> f64 {
        match self {
            Self::Time(time) => consensus.expected_blocks(time),
            Self::Blocks(blocks) => blocks as f64,
        }
    }

    /// The longest time the window takes on a chain that grows like this.
    #[must_use]
    pub fn at_most(self, consensus: &Consensus, growth: &Growth) -> Duration {
        match self {
            Self::Time(time) => time,
            Self::Blocks(blocks) => slots(consensus.slot, growth.slots_for(blocks, FALSE_FAILURES) + 2),
        }
    }
}

/// The time that a number of slots takes.
pub(crate) fn slots(slot: Duration, count: u64) -> Duration {
    slot.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Time(time) => humantime::format_duration(*time).fmt(f),
            Self::Blocks(blocks) => write!(f, "{blocks} blocks"),
        }
    }
}

/// When a run ends that goes well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// When its window does.
    #[default]
    Window,
    /// As soon as every expectation that is [awaited](crate::Expectation::awaited) holds, at the latest when
    /// the window ends. What is claimed then is that all held until then.
    Satisfied,
}

/// One plan, validated. It can be run any number of times.
#[derive(Clone)]
pub struct Scenario {
    pub(crate) topology: Topology,
    pub(crate) program: Arc<dyn NodeProgram>,
    /// Genesis accounts of its cluster: more than the scenario gets, since others may use the cluster too.
    pub(crate) accounts: Vec<u64>,
    /// The number of accounts that are the scenario's own, where it gives it.
    pub(crate) wallets: Option<usize>,
    pub(crate) workloads: Vec<AnyWorkload>,
    pub(crate) expectations: Vec<AnyExpectation>,
    pub(crate) window: Window,
    pub(crate) until: Until,
    /// What it may do to the cluster by itself, besides what its workloads need.
    pub(crate) declared: Capabilities,
    pub(crate) seed: u64,
    pub(crate) metrics_query_url: Option<Url>,
    pub(crate) grafana_url: Option<Url>,
}

debug_as!(
    Scenario,
    |this| topology: this.topology,
    workloads: this.workloads,
    expectations: this.expectations,
    window: this.window,
    seed: this.seed
);

impl Scenario {
    /// Which nodes should exist.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// For how long the chain is watched.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// What drives everything random in a run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What its workloads and expectations are told of it.
    #[must_use]
    pub fn outline(&self) -> Outline<'_> {
        Outline {
            topology: &self.topology,
            window: self.window,
            wallets: self.wallets,
            growth: self.growth(),
            keeps_data: self.program.data().is_some(),
            has_wallet: self.program.wallet().is_some(),
            workloads: self.workloads.iter().map(AnyWorkload::name).collect(),
            has_metrics: self.metrics_query_url.is_some(),
        }
    }

    /// What the backend must be able to do.
    #[must_use]
    pub fn needs(&self) -> Capabilities {
        let late = self.topology.nodes().iter().any(|node| node.late);
        let starts = Capabilities { node_control: late, ..Capabilities::default() };
        self.workloads.iter().map(AnyWorkload::needs).fold(self.declared.or(starts), Capabilities::or)
    }

    /// The plan of the cluster on a backend.
    ///
    /// # Panics
    ///
    /// Where the node program plans otherwise than when the scenario was built.
    #[must_use]
    pub fn plan(&self, backend: &str) -> Plan {
        self.plan_with(backend, &self.accounts)
    }

    /// The same but for the accounts of genesis: what nodes run can be told from it, and it is planned in no time.
    pub(crate) fn plan_without_accounts(&self, backend: &str) -> Plan {
        self.plan_with(backend, &[])
    }

    fn plan_with(&self, backend: &str, accounts: &[u64]) -> Plan {
        Plan::new(backend, &self.topology, accounts, &*self.program)
            .unwrap_or_else(|problems| panic!("the scenario was planned when it was built: {problems:?}"))
    }

    /// The key of the cluster on a backend.
    pub(crate) fn key(&self, backend: &str) -> ClusterKey {
        ClusterKey::new(backend, &self.topology, &self.accounts, &*self.program)
    }

    /// How fast a healthy chain of this topology is sure to grow.
    pub(crate) fn growth(&self) -> Growth {
        Growth::at_start(&self.topology, self.program.message_delay(&self.topology))
    }
}

/// What a workload or expectation is told of its scenario before anything runs.
#[derive(Clone, Debug)]
pub struct Outline<'a> {
    /// Which nodes should exist.
    pub topology: &'a Topology,
    /// For how long the chain is watched.
    pub window: Window,
    /// The number of accounts, where the scenario gives it.
    pub wallets: Option<usize>,
    /// How fast a healthy chain of this topology is sure to grow.
    pub growth: Growth,
    /// Whether the node program keeps data available.
    pub keeps_data: bool,
    /// Whether the node program's transactions can be made.
    pub has_wallet: bool,
    /// The names of the scenario's workloads.
    pub workloads: Vec<&'a str>,
    /// Whether there is a Prometheus to ask for metrics.
    pub has_metrics: bool,
}

/// Accounts that genesis funds where the scenario does not say how many, and the value of each.
pub const DEFAULT_ACCOUNTS: usize = 1_000;
/// Units in an account by default.
pub const DEFAULT_FUNDS: u64 = 100;

#[derive(Clone, Copy, Debug)]
struct Wallets {
    total: u64,
    users: usize,
}

impl Wallets {
    /// The accounts of a cluster whose scenarios want such wallets: as many as by default, at least for four
    /// scenarios, but no more than 4,000 for that. Begun at a multiple of `users`, so many of them are one split.
    fn pool(self) -> Vec<u64> {
        const SCENARIOS: usize = 4;
        let enough = DEFAULT_ACCOUNTS.max((SCENARIOS * self.users).min(SCENARIOS * DEFAULT_ACCOUNTS));
        self.split().into_iter().cycle().take(enough.max(self.users)).collect()
    }

    /// An equal split; the rest goes to the first.
    fn split(self) -> Vec<u64> {
        let users = self.users as u64;
        let mut accounts = vec![self.total / users; self.users];
        accounts[0] += self.total % users;
        accounts
    }
}

/// Collects a [`Scenario`] by hand.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// use std::time::Duration;
/// use logos_scenario::{ScenarioBuilder, ScenarioBuilderExt};
/// # use logos_scenario_runtime::fake::FakeProgram;
///
/// let scenario = ScenarioBuilder::topology_with(|t| t.network_star().validators(3).executors(2))
///     .wallets(50)
///     .transactions_with(|txs| txs.rate(5).users(20))
///     .da_with(|da| da.channel_rate(1).blob_rate(2))
///     .expect_consensus_liveness()
///     .with_run_duration(Duration::from_secs(90))
/// #   .with_program(FakeProgram)
///     .build()?;
/// assert_eq!(scenario.topology().nodes().len(), 5);
/// # Ok::<(), logos_scenario_runtime::BuildError>(())
/// ```
#[derive(Clone)]
pub struct ScenarioBuilder {
    topology: TopologyBuilder,
    program: Option<Arc<dyn NodeProgram>>,
    wallets: Option<Wallets>,
    pub(crate) parts: Parts,
    window: Window,
    until: Until,
    declared: Capabilities,
    seed: Option<u64>,
    metrics_query_url: Option<String>,
    metrics_otlp_ingest_url: Option<String>,
    grafana_url: Option<String>,
}

debug_as!(ScenarioBuilder, |this| topology: this.topology, parts: this.parts, window: this.window);

/// What acts and what judges.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub(crate) workloads: Vec<AnyWorkload>,
    pub(crate) expectations: Vec<AnyExpectation>,
}

impl Parts {
    pub(crate) fn is_empty(&self) -> bool {
        self.workloads.is_empty() && self.expectations.is_empty()
    }
}

impl ScenarioBuilder {
    /// Begins with which nodes should exist.
    ///
    /// ```
    /// # use logos_scenario_runtime::ScenarioBuilder;
    /// let builder = ScenarioBuilder::topology_with(|t| t.network_full().validators(4).executors(1));
    /// ```
    #[must_use]
    pub fn topology_with(with: impl FnOnce(TopologyBuilder) -> TopologyBuilder) -> Self {
        Self::with_topology(with(TopologyBuilder::default()))
    }

    /// Begins with a topology described elsewhere, such as a preset.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, Topology};
    /// let builder = ScenarioBuilder::with_topology(Topology::validator_and_executor());
    /// ```
    #[must_use]
    pub fn with_topology(topology: TopologyBuilder) -> Self {
        Self {
            topology,
            program: None,
            wallets: None,
            parts: Parts::default(),
            window: Window::Time(Duration::from_secs(60)),
            until: Until::default(),
            declared: Capabilities::default(),
            seed: None,
            metrics_query_url: None,
            metrics_otlp_ingest_url: None,
            grafana_url: None,
        }
    }

    /// Sets the node program; by default the one that `main!` or [`install_program`] named.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// let scenario = ScenarioBuilder::with_topology(Topology::single())
    ///     .with_program(FakeProgram)
    ///     .expect_consensus_liveness()
    ///     .build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn with_program(self, program: impl NodeProgram) -> Self {
        self.with_shared_program(Arc::new(program))
    }

    pub(crate) fn with_shared_program(mut self, program: Arc<dyn NodeProgram>) -> Self {
        self.program = Some(program);
        self
    }

    /// Gives the scenario `users` accounts of 100 units each.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let scenario = builder.wallets(50).transactions_with(|tx| tx.rate(5).users(50)).build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn wallets(self, users: usize) -> Self {
        self.with_wallet_config(users as u64 * DEFAULT_FUNDS, users)
    }

    /// Splits `total` units equally over `users` accounts; the rest goes to the first.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// // The first account has 334 units, the others 333.
    /// let scenario = builder.with_wallet_config(1_000, 3).build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn with_wallet_config(mut self, total: u64, users: usize) -> Self {
        self.wallets = Some(Wallets { total, users });
        self
    }

    /// Watches the chain for a time; 60 s by default.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let scenario = builder.with_run_duration(Duration::from_secs(90)).build()?;
    /// assert_eq!(scenario.window().to_string(), "1m 30s");
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn with_run_duration(mut self, window: Duration) -> Self {
        self.window = Window::Time(window);
        self
    }

    /// Watches the chain until its best tip has grown by so many blocks.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let scenario = builder.with_run_blocks(100).build()?;
    /// assert_eq!(scenario.window().to_string(), "100 blocks");
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn with_run_blocks(mut self, blocks: u64) -> Self {
        self.window = Window::Blocks(blocks);
        self
    }

    pub(crate) fn with_window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// Ends the run as soon as every expectation that is [awaited](crate::Expectation::awaited) holds.
    ///
    /// ```
    /// # use logos_scenario_runtime as logos_scenario;
    /// # use std::time::Duration;
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// use logos_scenario::expectation::condition::{eventually, height_at_least};
    ///
    /// let high = eventually("high", Duration::from_secs(50), height_at_least(8));
    /// let scenario = builder.with_expectation(high).until_satisfied().build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn until_satisfied(self) -> Self {
        self.with_until(Until::Satisfied)
    }

    pub(crate) fn with_until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    /// Lets the scenario stop, kill, pause and restart nodes.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let scenario = builder.enable_node_control().build()?;
    /// assert!(scenario.needs().node_control);
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn enable_node_control(mut self) -> Self {
        self.declared.node_control = true;
        self
    }

    /// Lets the scenario disturb the network.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let scenario = builder.enable_faults().build()?;
    /// assert!(scenario.needs().network_faults);
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn enable_faults(mut self) -> Self {
        self.declared.network_faults = true;
        self
    }

    /// Sets what drives everything random; drawn and printed by default. `SCENARIO_SEED` goes before it.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let scenario = builder.with_seed(7).build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Says which Prometheus has the nodes' metrics, by its base URL; by default `NOMOS_METRICS_QUERY_URL` does.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let scenario = builder.with_metrics_query_url("http://127.0.0.1:9090").build()?;
    /// assert!(scenario.outline().has_metrics);
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn with_metrics_query_url(mut self, url: impl Into<String>) -> Self {
        self.metrics_query_url = Some(url.into());
        self
    }

    /// Tells all nodes where their metrics are taken in over OTLP, as `NOMOS_METRICS_OTLP_INGEST_URL`, before the setting of
    /// that name. A loopback address is that of this machine wherever the nodes run.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let url = "http://127.0.0.1:9090/api/v1/otlp/v1/metrics";
    /// let scenario = builder.with_metrics_otlp_ingest_url(url).build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn with_metrics_otlp_ingest_url(mut self, url: impl Into<String>) -> Self {
        self.metrics_otlp_ingest_url = Some(url.into());
        self
    }

    /// Says which Grafana shows the nodes' metrics, by its base URL; by default `NOMOS_GRAFANA_URL` does.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let scenario = builder.with_grafana_url("http://127.0.0.1:3000").build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    #[must_use]
    pub fn with_grafana_url(mut self, url: impl Into<String>) -> Self {
        self.grafana_url = Some(url.into());
        self
    }

    /// The scenario.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// let refused = ScenarioBuilder::with_topology(Topology::with_node_counts(0, 1)).with_program(FakeProgram).build();
    /// let problems = refused.expect_err("it has neither a validator nor anything to prove").problems;
    /// assert_eq!(problems.len(), 2);
    /// ```
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, at once.
    pub fn build(self) -> Result<Scenario, BuildError> {
        let mut problems = Vec::new();
        if self.parts.is_empty() {
            problems.push(Problem::new(
                "scenario",
                "has neither workload nor expectation, so it would prove nothing",
                "add `.expect_consensus_liveness()` or a workload",
            ));
        }
        let scenario = self.build_with_parts(&mut problems);
        scenario.filter(|_| problems.is_empty()).ok_or(BuildError { problems })
    }

    /// A scenario that may be empty: the base of a run whose parts are registered by its body.
    pub(crate) fn build_base(self) -> Result<Scenario, BuildError> {
        let mut problems = Vec::new();
        let scenario = self.build_with_parts(&mut problems);
        scenario.filter(|_| problems.is_empty()).ok_or(BuildError { problems })
    }

    fn build_with_parts(self, problems: &mut Vec<Problem>) -> Option<Scenario> {
        let Self { topology, program, wallets, parts, window, until, declared, seed, .. } = self;
        let settings = env::check().map_err(|bad| problems.extend_from_slice(bad)).ok();
        let mut url = |name: &str, url: Option<String>, next: &str| {
            let url = url?;
            let bad = |expected| {
                Problem::new(format!("scenario.{name}"), format!("`{url}`, expected {expected}"), next)
            };
            http_url(&url).map_err(|expected| problems.push(bad(expected))).ok()
        };
        let metrics_query_url = url("metrics_query_url", self.metrics_query_url, METRICS_URL);
        let ingest_url = url("metrics_otlp_ingest_url", self.metrics_otlp_ingest_url, INGEST_URL);
        let grafana_url = url("grafana_url", self.grafana_url, GRAFANA_URL);
        let topology = topology.build().map_err(|found| problems.extend(found)).ok();
        let program = program.or_else(|| INSTALLED.get().cloned());
        if program.is_none() {
            problems.push(Problem::new(
                "scenario.program",
                "no node program is named",
                "give `.with_program(…)`, or name one for the whole process with `main!(program = …)` or `install_program`",
            ));
        }
        problems.extend(wallets.and_then(Wallets::problem));
        let (topology, program) = topology.zip(program)?;
        problems.extend(window.problem(topology.consensus()));
        let needs = parts.workloads.iter().map(AnyWorkload::needs).fold(declared, Capabilities::or);
        let topology = if needs.network_faults { topology.through_relay() } else { topology };
        let topology = match ingest_url {
            Some(url) => topology.with_env("NOMOS_METRICS_OTLP_INGEST_URL", url.as_str()),
            None => topology,
        };
        let mut scenario = Scenario {
            accounts: vec![DEFAULT_FUNDS; DEFAULT_ACCOUNTS],
            wallets: wallets.map(|wallets| wallets.users),
            workloads: Vec::new(),
            expectations: vec![AnyExpectation::new(NoCrash)],
            window,
            until,
            declared,
            seed: settings.and_then(|it| it.seed).or(seed).unwrap_or_else(rand::random),
            metrics_query_url: metrics_query_url.or_else(|| settings?.metrics_query_url.clone()),
            grafana_url: grafana_url.or_else(|| settings?.grafana_url.clone()),
            topology,
            program,
        };
        problems.extend(
            // What single nodes are given does not depend on accounts, and planning them all takes long.
            Plan::new("any", &scenario.topology, &scenario.accounts[..1], &*scenario.program)
                .err()
                .unwrap_or_default(),
        );
        scenario.add(&parts, problems);
        if let Some(wallets) = wallets.filter(|_| problems.is_empty()) {
            scenario.accounts = wallets.pool();
        }
        Some(scenario)
    }
}

impl Scenario {
    /// The same cluster, window and seed with more workloads and expectations.
    ///
    /// What they do to the cluster has to be declared: others may use it, too.
    pub(crate) fn with_parts(&self, parts: &Parts) -> Result<Self, BuildError> {
        let mut scenario = self.clone();
        let mut problems = Vec::new();
        for workload in &parts.workloads {
            let undeclared = self.permitted().lacking(&workload.needs());
            if !undeclared.is_empty() {
                problems.push(Problem::new(
                    workload.name(),
                    format!("needs {}, which the scenario does not declare", undeclared.join(", ")),
                    match undeclared.contains(&"network_faults") {
                        true => "write `#[scenario(faults)]`, so that links are planned through a relay",
                        false => "write `#[scenario(node_control)]`, so that nobody else uses the cluster meanwhile",
                    },
                ));
            }
        }
        scenario.add(parts, &mut problems);
        if problems.is_empty() { Ok(scenario) } else { Err(BuildError { problems }) }
    }

    /// What it may do to the cluster, by what it declares.
    fn permitted(&self) -> Capabilities {
        let Capabilities { node_control, network_faults, .. } = self.declared;
        self.declared.or(Capabilities {
            pause: node_control,
            isolate: node_control,
            replan: node_control,
            shaping: network_faults,
            ..Capabilities::default()
        })
    }

    fn add(&mut self, parts: &Parts, problems: &mut Vec<Problem>) {
        let mut outlined = self.clone();
        outlined.workloads.extend(parts.workloads.iter().cloned());
        let outline = outlined.outline();
        for workload in &parts.workloads {
            problems.extend(workload.problems(&outline));
            if self.workloads.iter().any(|other| other.name() == workload.name()) {
                problems.push(Problem::new(
                    "scenario.workloads",
                    format!("two are named `{}`", workload.name()),
                    "give one of them another name",
                ));
            }
            self.workloads.push(workload.clone());
        }
        let brought = parts.workloads.iter().flat_map(AnyWorkload::expectations);
        for expectation in parts.expectations.iter().cloned().chain(brought) {
            problems.extend(expectation.problems(&outline));
            if self.expectations.iter().any(|other| other.name() == expectation.name()) {
                problems.push(Problem::new(
                    "scenario.expectations",
                    format!("two are named `{}`", expectation.name()),
                    "leave one of them out, or give it another name",
                ));
            }
            self.expectations.push(expectation);
        }
    }
}

impl Wallets {
    fn problem(self) -> Option<Problem> {
        let what = if self.users == 0 {
            "0 users, expected at least 1".to_owned()
        } else if self.total < self.users as u64 {
            format!("{} units do not give each of {} users one", self.total, self.users)
        } else {
            return None;
        };
        Some(Problem::new(
            "scenario.wallets",
            what,
            "leave the wallets out to draw on 1000 accounts of 100 units",
        ))
    }
}

impl Window {
    fn problem(self, consensus: &Consensus) -> Option<Problem> {
        let shortest = consensus.slot * 2;
        let (seen, try_next) = match self {
            Self::Time(time) if time < shortest => {
                (self.to_string(), format!("give at least {}", humantime::format_duration(shortest)))
            }
            Self::Blocks(0) => (self.to_string(), "give at least 1 block".to_owned()),
            _ => return None,
        };
        Some(Problem::new("scenario.window", format!("{seen}, expected two slots or more"), try_next))
    }
}

static INSTALLED: OnceLock<Arc<dyn NodeProgram>> = OnceLock::new();

/// The node program of this process, if it has one.
pub(crate) fn installed_program() -> Option<Arc<dyn NodeProgram>> {
    INSTALLED.get().cloned()
}

/// Names the node program of this process, used where a scenario names none. `main!` calls it.
///
/// # Panics
///
/// When a program is already installed: which one a scenario gets would depend on the order.
pub fn install_program(program: impl NodeProgram) {
    let name = program.name().to_owned();
    let kept = INSTALLED.set(Arc::new(program));
    assert!(kept.is_ok(), "`{name}` cannot be installed: this process already has a node program");
}

/// What can be added to a scenario, be it built by hand or run by a test: one trait serves
/// [`ScenarioBuilder`] and [`&mut Run`](crate::Run).
pub trait ScenarioBuilderExt: Sized {
    /// Where workloads and expectations are collected.
    #[doc(hidden)]
    fn parts(&mut self) -> &mut Parts;

    /// Adds a workload and the expectations it brings.
    ///
    /// ```
    /// # use logos_scenario_runtime as logos_scenario;
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// use logos_scenario::Transactions;
    ///
    /// let scenario = builder.with_workload(Transactions::default().rate(2)).build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    fn with_workload(mut self, workload: impl Workload) -> Self {
        self.parts().workloads.push(AnyWorkload::new(workload));
        self
    }

    /// Adds an expectation.
    ///
    /// ```
    /// # use logos_scenario_runtime as logos_scenario;
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// use logos_scenario::ChainAgreement;
    ///
    /// let scenario = builder.with_expectation(ChainAgreement::default()).build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    fn with_expectation(mut self, expectation: impl Expectation) -> Self {
        self.parts().expectations.push(AnyExpectation::new(expectation));
        self
    }

    /// Submits signed transfers, by default one per block, and expects each in a block.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let scenario = builder.transactions_with(|tx| tx.rate(5).users(20)).build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    fn transactions_with(self, with: impl FnOnce(Transactions) -> Transactions) -> Self {
        self.with_workload(with(Transactions::default()))
    }

    /// Publishes blobs, by default one per block, and expects each to be available.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let scenario = builder.da_with(|da| da.channel_rate(1).blob_rate(2)).build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    fn da_with(self, with: impl FnOnce(Blobs) -> Blobs) -> Self {
        self.with_workload(with(Blobs::default()))
    }

    /// Disturbs nodes, and expects each that comes back to catch up.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram).expect_consensus_liveness();
    /// let scenario = builder
    ///     .enable_node_control()
    ///     .chaos_with(|chaos| chaos.node("validator-1").at_height(5).kill().restart_after_blocks(3))
    ///     .build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    fn chaos_with<C: Into<Chaos>>(self, with: impl FnOnce(Chaos) -> C) -> Self {
        self.with_workload(with(Chaos::default()).into())
    }

    /// Expects every node's chain to grow as fast as a healthy chain is sure to.
    ///
    /// ```
    /// # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
    /// let scenario = ScenarioBuilder::with_topology(Topology::two_validators())
    ///     .with_program(FakeProgram)
    ///     .expect_consensus_liveness()
    ///     .build()?;
    /// # Ok::<(), logos_scenario_runtime::BuildError>(())
    /// ```
    fn expect_consensus_liveness(self) -> Self {
        self.with_expectation(ConsensusLiveness::default())
    }
}

impl ScenarioBuilderExt for ScenarioBuilder {
    fn parts(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeProgram;
    use crate::plan::{NodePlanning, PlannedNode};
    use crate::topology::Topology;

    fn builder() -> ScenarioBuilder {
        ScenarioBuilder::with_topology(Topology::two_validators()).with_program(FakeProgram)
    }

    fn problems(builder: ScenarioBuilder) -> Vec<String> {
        let error = builder.build().expect_err("the scenario has problems");
        error.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_empty_scenario_proves_nothing() {
        assert_eq!(
            problems(builder()),
            ["scenario: has neither workload nor expectation, so it would prove nothing; add \
              `.expect_consensus_liveness()` or a workload"]
        );
    }

    #[test]
    fn transactions_need_a_wallet() {
        let told = problems(builder().with_program(WithoutWallet).transactions_with(|tx| tx));
        assert_eq!(
            told,
            ["transactions: the node program has no wallet, so that none can be made; implement \
              `NodeProgram::wallet`"]
        );
        let others = builder().with_program(WithoutWallet).expect_consensus_liveness().build();
        assert!(others.is_ok(), "what sends none needs none");
    }

    struct WithoutWallet;

    impl NodeProgram for WithoutWallet {
        fn name(&self) -> &str {
            "poor"
        }

        fn identity(&self) -> String {
            "1".to_owned()
        }

        fn plan(&self, node: &NodePlanning<'_>) -> Result<PlannedNode, Problem> {
            FakeProgram.plan(node)
        }

        fn message_delay(&self, _: &Topology) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn all_problems_of_all_parts_are_told_at_once() {
        let builder = ScenarioBuilder::topology_with(|topology| topology.validators(1))
            .with_program(FakeProgram)
            .with_wallet_config(3, 4)
            .with_run_duration(Duration::from_secs(3))
            .transactions_with(|tx| tx.rate(2).users(5).min_inclusion(1.5))
            .transactions_with(|tx| tx.rate(0))
            .expect_consensus_liveness();
        let places: Vec<_> = problems(builder)
            .into_iter()
            .map(|problem| problem.split(':').next().unwrap().to_owned())
            .collect();
        assert_eq!(
            places,
            [
                "scenario.wallets",
                "scenario.window",
                "transactions.users",
                "transactions.users",
                "transactions.rate",
                "scenario.workloads",
                "consensus liveness",
                "transactions.min_inclusion",
                "scenario.expectations",
            ]
        );
    }

    #[test]
    fn a_window_that_is_too_short_to_judge_says_how_long_it_must_be() {
        let builder = builder().with_run_duration(Duration::from_secs(8)).expect_consensus_liveness();
        let problem = &problems(builder)[0];
        assert!(problem.ends_with("make it at least 18s (9 slots)"), "{problem}");
    }

    #[test]
    fn what_a_workload_does_to_the_cluster_has_to_be_declared() {
        let chaos = AnyWorkload::new(Chaos::default().node("validator-0").at_height(1).pause().and());
        let parts = Parts { workloads: vec![chaos], expectations: Vec::new() };
        let declared = builder().enable_node_control().build_base().unwrap().with_parts(&parts);
        assert!(declared.is_ok());
        let error = builder().build_base().unwrap().with_parts(&parts).expect_err("it is not declared");
        let told = error.problems[0].to_string();
        assert!(told.starts_with("chaos: needs node_control, pause, which the scenario does not"), "{told}");
    }

    #[test]
    fn funds_are_split_equally_and_the_rest_goes_to_the_first() {
        let wallets = Wallets { total: 11, users: 3 };
        assert_eq!(wallets.split(), [5, 3, 3]);
        assert_eq!((wallets.pool().len(), &wallets.pool()[..6]), (1_000, &[5, 3, 3, 5, 3, 3][..]));
        assert_eq!(Wallets { total: 2_000, users: 2_000 }.pool().len(), 4_000);
        assert_eq!(Wallets { total: 5_000, users: 5_000 }.pool().len(), 5_000);
    }

    #[test]
    fn clusters_are_the_same_for_scenarios_that_differ_in_what_they_do() {
        let rich = builder().wallets(30).expect_consensus_liveness().build().unwrap();
        let one = builder().expect_consensus_liveness().with_seed(1).build().unwrap();
        let other = builder().transactions_with(|tx| tx).with_seed(2).build().unwrap();
        assert_eq!(one.key("local"), other.key("local"));
        assert_eq!(one.key("local"), rich.key("local"), "accounts of 100 units are the same for all");
        assert_ne!(one.key("local"), one.key("compose"));
        let larger =
            ScenarioBuilder::with_topology(Topology::with_node_counts(3, 0)).with_program(FakeProgram);
        assert_ne!(one.key("local"), larger.expect_consensus_liveness().build().unwrap().key("local"));
    }
}
