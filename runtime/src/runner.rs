//! The one sequence, the same for every backend: deploy, ready, capture, drive, settle, judge, teardown.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::context::{Accounts, Inner, NodeClients, RunContext, SlotClock, Stage};
use crate::deployer::{DynCluster, DynDeployer, Placement};
use crate::failure::{Failure, FailureClass, RunFailed};
use crate::feed::BlockFeed;
use crate::node::NodeClient;
use crate::plan::Plan;
use crate::report::{Journal, Phase, Report};
use crate::run::Place;
use crate::scenario::{Scenario, Until};

mod control;
mod driving;
mod ready;
mod recorder;
mod tasks;
pub use control::NodeControl;
pub use driving::Driving;
use tasks::Tasks;
pub(crate) use tasks::{TASK, panic_text};

/// A cluster that is ready to run scenarios.
pub struct Runner {
    scenario: Scenario,
    plan: Plan,
    backend: String,
    cluster: Arc<dyn DynCluster>,
    clients: NodeClients,
    feed: BlockFeed,
    directory: PathBuf,
    phases: Vec<(Phase, Duration)>,
    /// Whatever runs on this cluster draws from the same accounts, since a note can be spent once.
    accounts: Arc<Accounts>,
    clock: SlotClock,
    journal: Arc<Journal>,
    /// Writes down what happens to chain and nodes.
    recorder: JoinSet<()>,
}

impl Runner {
    /// Deploys the cluster of a scenario, which waited for room before or not.
    pub(crate) async fn deploy(
        deployer: &dyn DynDeployer,
        scenario: &Scenario,
        place: &Place,
        queued: Option<Duration>,
    ) -> Result<Self, RunFailed> {
        let plan = scenario.plan(deployer.name());
        let journal = Arc::clone(place.journal());
        recorder::describe(&journal, scenario, &plan, deployer.name());
        if let Some(queued) = queued {
            journal.passed(Phase::Queue, queued);
        }
        journal.enter(Phase::Deploy);
        let placement = place.placement();
        let began = Instant::now();
        let cluster = deployer.provision(&plan, &placement).await.map_err(Failure::from)?;
        let mut phases = Vec::from_iter(queued.map(|queued| (Phase::Queue, queued)));
        phases.push((Phase::Deploy, began.elapsed()));
        journal.enter(Phase::Ready);
        let deployed = Deployed { plan, backend: deployer.name(), cluster, placement, journal };
        deployed.until_ready(scenario, phases).await
    }
}

/// A cluster of which nothing is known yet.
struct Deployed<'a> {
    plan: Plan,
    backend: &'a str,
    cluster: Arc<dyn DynCluster>,
    placement: Placement,
    journal: Arc<Journal>,
}

impl Deployed<'_> {
    /// Waits until the cluster can be used; tears it down if that fails.
    async fn until_ready(
        self,
        scenario: &Scenario,
        mut phases: Vec<(Phase, Duration)>,
    ) -> Result<Runner, RunFailed> {
        let Self { plan, backend, cluster, placement, journal } = self;
        let clock = SlotClock::new(cluster.description(), scenario.topology.consensus().slot);
        let began = Instant::now();
        let clients = NodeClients::new(clients(&*cluster, scenario));
        let ready = ready::until_ready(&*cluster, &clients, scenario).await;
        phases.push((Phase::Ready, began.elapsed()));
        let feed = match ready {
            Ok(feed) => feed,
            Err(failure) => {
                let mut failures = vec![failure];
                failures.extend(torn_down(&*cluster).await.err());
                return Err(RunFailed { failures });
            }
        };
        journal.leave();
        let mut recorder = JoinSet::new();
        recorder.spawn(recorder::record_chain(Arc::clone(&journal), feed.replay()));
        recorder.spawn(recorder::record_nodes(Arc::clone(&journal), Arc::clone(&cluster)));
        let genesis_notes = scenario.program.wallet().genesis_notes(&plan.genesis);
        Ok(Runner {
            accounts: Arc::new(Accounts::new(genesis_notes, scenario.seed)),
            scenario: scenario.clone(),
            plan,
            backend: backend.to_owned(),
            cluster,
            clients,
            feed,
            directory: placement.directory,
            phases,
            clock,
            journal,
            recorder,
        })
    }
}

impl Runner {
    /// Clients of all nodes.
    #[must_use]
    pub fn node_clients(&self) -> &NodeClients {
        &self.clients
    }

    /// What happened to the chain so far, and what will.
    #[must_use]
    pub fn feed(&self) -> &BlockFeed {
        &self.feed
    }

    /// What can be done to the nodes.
    #[must_use]
    pub fn control(&self) -> NodeControl {
        NodeControl::new(Arc::clone(&self.cluster))
    }

    pub(crate) fn cluster(&self) -> Arc<dyn DynCluster> {
        Arc::clone(&self.cluster)
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
    /// # Errors
    ///
    /// Every expectation that does not hold, and whatever kept the run from going its way.
    pub async fn run(&self, scenario: &Scenario) -> Result<Report, RunFailed> {
        self.start(scenario).await?.finish().await
    }

    /// Captures and starts the workloads of a scenario; [`Driving::finish`] does the rest.
    ///
    /// # Errors
    ///
    /// The scenario is one for another cluster, or an expectation could not capture.
    pub async fn start(&self, scenario: &Scenario) -> Result<Driving, RunFailed> {
        let wanted = scenario.key(&self.backend);
        if wanted != self.plan.key {
            return Err(Failure::new(FailureClass::Test, "runner")
                .expected(format!("a scenario for this cluster, whose key is {}", self.plan.key))
                .seen(format!("one for a cluster with key {wanted}"))
                .because("topology, consensus, accounts or node program differ")
                .try_next("deploy the scenario itself")
                .into());
        }
        self.start_in(self.context(scenario), scenario).await
    }

    /// [`start`](Self::start) in a context that the caller already has.
    pub(crate) async fn start_in(&self, cx: RunContext, scenario: &Scenario) -> Result<Driving, RunFailed> {
        let mut phases = self.phases.clone();
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

        self.journal.enter(Phase::Drive);
        let since = Instant::now();
        cx.advance(Stage::Drive(since));
        let ends = scenario.until == Until::Satisfied;
        let awaited =
            captured.iter().filter(|it| ends && it.awaited()).map(|it| it.name().to_owned()).collect();
        let mut judges = Tasks::default();
        for expectation in captured {
            let (name, cx) = (expectation.name().to_owned(), cx.clone());
            judges.spawn(name, async move { expectation.judge(&cx).await });
        }
        let mut workloads = Tasks::default();
        for workload in &scenario.workloads {
            let (workload, cx) = (workload.clone(), cx.clone());
            workloads.spawn(workload.name().to_owned(), async move { workload.run(&cx).await });
        }
        let base = self.feed.best_height();
        Ok(Driving { cx, judges, awaited, workloads, phases, since, base, seed: scenario.seed })
    }

    /// The context of a run of a scenario on this cluster.
    pub(crate) fn context(&self, scenario: &Scenario) -> RunContext {
        RunContext::new(Inner {
            topology: scenario.topology.clone(),
            window: scenario.window,
            program: Arc::clone(&scenario.program),
            genesis: self.plan.genesis.clone(),
            cluster: Arc::clone(&self.cluster),
            clients: self.clients.clone(),
            feed: self.feed.leased(),
            seed: scenario.seed,
            directory: self.directory.clone(),
            clock: self.clock,
            accounts: Arc::clone(&self.accounts),
            wallets: scenario.wallets,
            stage: watch::Sender::new(Stage::Capture),
            cut_short: false.into(),
            states: Mutex::default(),
            pending: Mutex::default(),
            sections: Mutex::default(),
            journal: Arc::clone(&self.journal),
        })
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

fn clients(cluster: &dyn DynCluster, scenario: &Scenario) -> Vec<NodeClient> {
    let port = scenario.program.http().port;
    let client = |node: &crate::deployer::NodeEndpoints| {
        let address = node.addresses.get(&port).map_or("", String::as_str);
        NodeClient::new(&node.name, node.role, cluster.connect(address))
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
