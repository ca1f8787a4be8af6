//! The one sequence, the same for every backend: deploy, ready, capture, drive, settle, judge, teardown.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::context::{Accounts, Inner, NodeClients, RunContext, SlotClock, Stage};
use crate::deployer::{DynCluster, NodeEndpoints};
use crate::expectation::AnyExpectation;
use crate::failure::{Failure, FailureClass, RunFailed};
use crate::faults::Disturbing;
use crate::feed::BlockFeed;
use crate::node::{HttpDialect, NodeClient, NodeProgram};
use crate::plan::{ClusterKey, Genesis};
use crate::replay::Recording;
use crate::report::{Journal, Phase, Report};
use crate::scenario::{Scenario, Until};
use crate::telemetry::Telemetry;

mod control;
mod deployed;
mod driving;
mod past;
mod ready;
mod recorder;
mod tasks;
mod usable;
pub use control::NodeControl;
pub(crate) use control::Planned;
pub use driving::Driving;
use driving::Unfinished;
pub(crate) use ready::STAGE;
use tasks::Tasks;
pub(crate) use tasks::{TASK, panic_text};
pub(crate) use usable::usable;

/// A cluster that is ready to run scenarios.
pub struct Runner {
    scenario: Scenario,
    key: ClusterKey,
    genesis: Genesis,
    backend: String,
    cluster: Arc<dyn DynCluster>,
    clients: NodeClients,
    feed: BlockFeed,
    directory: PathBuf,
    cluster_directory: PathBuf,
    phases: Vec<(Phase, Duration)>,
    /// Whatever runs on this cluster draws from the same accounts, since a note can be spent once.
    accounts: Arc<Accounts>,
    lease: u64,
    /// How many contexts there were, so that each has channels of its own.
    contexts: AtomicU64,
    clock: SlotClock,
    disturbing: Arc<Disturbing>,
    journal: Arc<Journal>,
    /// Writes down what happens to chain and nodes.
    recorder: JoinSet<()>,
    /// What is played, where the run is over.
    recording: Option<Arc<Recording>>,
}

debug_as!(Runner, |this| backend: this.backend, lease: this.lease, directory: this.directory);

impl Runner {
    /// Clients of all nodes.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// for client in runner.node_clients().all() {
    ///     println!("{}: {}", client.name(), client.consensus_info().await?.height);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn node_clients(&self) -> &NodeClients {
        &self.clients
    }

    /// What happened to the chain so far, and what will.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// let mut events = runner.feed().subscribe();
    /// println!("{:?}", events.next().await);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn feed(&self) -> &BlockFeed {
        &self.feed
    }

    /// What can be done to the nodes.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// runner.control().restart("validator-1").await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn control(&self) -> NodeControl {
        let Scenario { topology, program, .. } = &self.scenario;
        let planned = Planned {
            topology: topology.clone(),
            genesis: self.genesis.clone(),
            program: Arc::clone(program),
            past: self.recording.is_some(),
        };
        NodeControl::new(Arc::clone(&self.cluster), planned)
    }

    /// How long the phases before the run took.
    #[must_use]
    pub fn phases(&self) -> &[(Phase, Duration)] {
        &self.phases
    }

    /// The scenario with which the cluster was deployed.
    pub(crate) fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Runs a scenario from capture to judgement.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// // Twice on one cluster, each time judged from where it begins.
    /// runner.run(&scenario).await?;
    /// let report = runner.run(&scenario).await?;
    /// assert!(report.held.iter().any(|name| name == "ConsensusLiveness"));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// Every expectation that does not hold, and whatever kept the run from going its way.
    pub async fn run(&self, scenario: &Scenario) -> Result<Report, RunFailed> {
        self.start(scenario).await?.finish().await
    }

    /// Captures and starts the workloads of a scenario; [`Driving::finish`] does the rest.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// let driving = runner.start(&scenario).await?;
    /// // Here is room for what the test does itself.
    /// let report = driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The scenario is one for another cluster, or an expectation could not capture.
    pub async fn start(&self, scenario: &Scenario) -> Result<Driving, RunFailed> {
        let wanted = scenario.key(&self.backend);
        if wanted != self.key {
            return Err(Failure::new(FailureClass::Test, "runner")
                .expected(format!("a scenario for this cluster, whose key is {}", self.key))
                .seen(format!("one for a cluster with key {wanted}"))
                .because("topology, consensus, accounts or node program differ")
                .try_next("deploy the scenario itself")
                .into());
        }
        self.start_in(self.context(scenario), scenario).await
    }

    /// [`start`](Self::start) in a context that the caller already has.
    pub(crate) async fn start_in(&self, cx: RunContext, scenario: &Scenario) -> Result<Driving, RunFailed> {
        let unfinished = Unfinished::new(&cx);
        let mut phases = self.phases.clone();
        self.come_to(&cx, Phase::Capture).await;
        let began = Instant::now();
        self.journal.enter(Phase::Capture);
        let mut captures = Tasks::default();
        for expectation in &scenario.expectations {
            let (expectation, cx) = (expectation.clone(), cx.clone());
            let name = format!("capture of {}", expectation.name());
            captures.spawn(name.clone(), async move {
                expectation.capture(&cx).await.map_err(|failure| Failure { subject: name, ..failure })
            });
        }
        captures.join_all().await;
        let captured = all_or_failures(captures.outcomes().map(|(_, captured)| captured))?;
        phases.push((Phase::Capture, began.elapsed()));

        self.come_to(&cx, Phase::Drive).await;
        self.journal.enter(Phase::Drive);
        let since = Instant::now();
        cx.advance(Stage::Drive(since));
        let ends = scenario.until == Until::Satisfied;
        let awaited =
            captured.iter().filter(|it| ends && it.awaited()).map(|it| it.name().to_owned()).collect();
        let named = |it: &AnyExpectation| (it.name().to_owned(), it.explained_by());
        let explained_by = scenario.expectations.iter().map(named).collect();
        let mut judges = Tasks::default();
        for expectation in captured {
            let (name, cx) = (expectation.name().to_owned(), cx.clone());
            judges.spawn(name, async move { expectation.judge(&cx).await });
        }
        let mut workloads = Tasks::default();
        for workload in &scenario.workloads {
            let (workload, cx) = (workload.clone(), cx.clone());
            workloads.spawn(workload.name().to_owned(), async move {
                let began = cx.second_of(Instant::now());
                let done = workload.run(&cx).await;
                cx.record("workload", &json!({ "name": workload.name(), "began": began }));
                done
            });
        }
        let base = self.feed.best_height();
        let seed = scenario.seed;
        Ok(Driving { cx, judges, explained_by, awaited, workloads, phases, since, base, seed, unfinished })
    }

    /// Goes on when a run that is over did, and at once in one that lives.
    async fn come_to(&self, cx: &RunContext, phase: Phase) {
        if self.recording.is_some() {
            cx.replayed_to(phase).await;
        }
    }

    /// The context of a run of a scenario on this cluster.
    pub(crate) fn context(&self, scenario: &Scenario) -> RunContext {
        RunContext::new(Inner {
            topology: scenario.topology.clone(),
            window: scenario.window,
            program: Arc::clone(&scenario.program),
            genesis: self.genesis.clone(),
            cluster: Arc::clone(&self.cluster),
            clients: self.clients.clone(),
            feed: self.feed.leased(),
            seed: scenario.seed,
            directory: self.directory.clone(),
            cluster_directory: self.cluster_directory.clone(),
            clock: self.clock,
            accounts: Arc::clone(&self.accounts),
            lease: self.lease,
            wallets: scenario.wallets,
            workloads: scenario.workloads.iter().map(|workload| workload.name().to_owned()).collect(),
            number: self.contexts.fetch_add(1, Ordering::Relaxed),
            controls_nodes: scenario.needs().node_control,
            disturbs: scenario.needs().network_faults && scenario.topology.relayed(),
            disturbing: Arc::clone(&self.disturbing),
            stage: watch::Sender::new(Stage::Capture),
            cut_short: watch::Sender::default(),
            satisfied: watch::Sender::default(),
            states: Mutex::default(),
            pending: Mutex::default(),
            sections: Mutex::default(),
            journal: Arc::clone(&self.journal),
            telemetry: Telemetry::new(scenario.metrics_query_url.clone(), self.recording.as_ref()),
            recording: self.recording.clone(),
        })
    }

    /// Uses the cluster no more.
    pub(crate) async fn leave(mut self) {
        self.recorder.shutdown().await;
    }

    /// Ends the cluster and removes everything but its logs.
    ///
    /// # Errors
    ///
    /// What could not be removed.
    pub async fn teardown(mut self) -> Result<(), RunFailed> {
        self.journal.enter(Phase::Teardown);
        self.recorder.shutdown().await;
        let torn_down = torn_down(&*self.cluster).await;
        self.journal.conclude_drives();
        Ok(torn_down?)
    }
}

/// Tears a cluster down and tells what is left of it.
pub(crate) async fn torn_down(cluster: &dyn DynCluster) -> Result<(), Failure> {
    cluster.teardown().await.map_err(|error| {
        Failure::new(FailureClass::Infrastructure, "teardown")
            .expected("nothing of the cluster to be left")
            .seen(error.to_string())
    })
}

/// Clients of all nodes of a cluster that run a program.
pub(crate) fn clients(cluster: &dyn DynCluster, program: &dyn NodeProgram) -> Vec<NodeClient> {
    let HttpDialect { port, testing_port } = program.http();
    let client = |node: &NodeEndpoints| {
        let address = node.addresses.get(&port).map_or("", String::as_str);
        let client = NodeClient::new(&node.name, node.role, cluster.connect(address));
        match testing_port.as_ref().and_then(|port| node.addresses.get(port)) {
            Some(address) => client.with_testing(cluster.connect(address)),
            None => client,
        }
    };
    cluster.description().nodes.iter().map(client).collect()
}

fn all_or_failures<T>(results: impl Iterator<Item = Result<T, Failure>>) -> Result<Vec<T>, RunFailed> {
    let mut fine = Vec::new();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(value) => fine.push(value),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(fine) } else { Err(RunFailed { failures }) }
}
