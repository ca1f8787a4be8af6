//! What a workload, an expectation or a test may see and do while a scenario runs.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::deployer::{
    ClusterDescription, ClusterError, DynCluster, Log, LogPart, NodeEndpoints, NodeState, Usage,
};
use crate::expectation::bound::{FALSE_FAILURES, Growth};
use crate::failure::{Failure, FailureClass};
use crate::faults::{Disturbing, Faults};
use crate::feed::BlockFeed;
use crate::node::{ChannelId, NodeProgram};
use crate::plan::Genesis;
use crate::replay::Recording;
use crate::report::{Journal, Phase};
use crate::runner::{NodeControl, Planned};
use crate::scenario::{Outline, Window, slots};
use crate::telemetry::Telemetry;
use crate::topology::Topology;

mod accounts;
mod clients;

pub(crate) use accounts::Notes;
pub use accounts::{Account, Accounts};
pub use clients::NodeClients;

/// What a workload, an expectation or a test may see and do. Cheap to clone.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// use logos_scenario::{Counters, Failure, RunContext, Workload};
///
/// /// Asks every node for each block that comes, and tells how many there were.
/// struct Asks;
///
/// impl Workload for Asks {
///     fn name(&self) -> &str {
///         "asks"
///     }
///
///     async fn run(&self, cx: &RunContext) -> Result<Counters, Failure> {
///         let (mut events, mut asked) = (cx.feed().subscribe(), 0);
///         loop {
///             tokio::select! {
///                 () = cx.stopping() => break,
///                 _ = events.next() => {}
///             }
///             for client in cx.node_clients().all() {
///                 asked += u64::from(client.consensus_info().await.is_ok());
///             }
///         }
///         cx.record("asked", &asked); // a line of events.jsonl
///         cx.report("asks", &serde_json::json!({ "expected": cx.expected_blocks() })); // a section of report.json
///         Ok(Counters::default().with("asked", asked))
///     }
/// }
/// ```
#[derive(Clone)]
pub struct RunContext(Arc<Inner>);

debug_as!(RunContext, |this| lease: this.0.lease, seed: this.0.seed, directory: this.0.directory);

/// What a run is made of; the runner fills it in.
pub(crate) struct Inner {
    pub(crate) topology: Topology,
    pub(crate) window: Window,
    pub(crate) program: Arc<dyn NodeProgram>,
    pub(crate) genesis: Genesis,
    pub(crate) cluster: Arc<dyn DynCluster>,
    pub(crate) clients: NodeClients,
    pub(crate) feed: BlockFeed,
    pub(crate) seed: u64,
    pub(crate) directory: PathBuf,
    pub(crate) cluster_directory: PathBuf,
    pub(crate) clock: SlotClock,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) lease: u64,
    pub(crate) wallets: Option<usize>,
    /// Names of the workloads.
    pub(crate) workloads: Vec<String>,
    /// Tells this run from the other runs of its lease.
    pub(crate) number: u64,
    /// Whether the scenario may control nodes.
    pub(crate) controls_nodes: bool,
    /// Whether the scenario may disturb the network.
    pub(crate) disturbs: bool,
    pub(crate) disturbing: Arc<Disturbing>,
    pub(crate) stage: watch::Sender<Stage>,
    pub(crate) cut_short: watch::Sender<bool>,
    /// Names of the expectations that hold and go on judging.
    pub(crate) satisfied: watch::Sender<BTreeSet<String>>,
    pub(crate) states: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    pub(crate) pending: Mutex<Vec<Pending>>,
    pub(crate) sections: Mutex<BTreeMap<String, serde_json::Value>>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) telemetry: Telemetry,
    /// What is played, where this run is over.
    pub(crate) recording: Option<Arc<Recording>>,
}

type Pending = Box<dyn Fn() -> usize + Send + Sync>;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Capture,
    /// Workloads act; the window began at this time.
    Drive(Instant),
    /// Workloads are told to stop.
    Settle,
    /// Nothing acts any more: expectations judge the end.
    Settled,
}

impl RunContext {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Which nodes there are.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// let names: Vec<_> = cx.topology().nodes().iter().map(|node| node.name.as_str()).collect();
    /// assert_eq!(names, ["validator-0", "validator-1", "executor-0"]);
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.0.topology
    }

    /// The node program all of them run.
    #[must_use]
    pub fn program(&self) -> &Arc<dyn NodeProgram> {
        &self.0.program
    }

    /// What the chain started from.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.0.genesis
    }

    /// Clients of all nodes.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// for client in cx.node_clients().validator_clients() {
    ///     println!("{} at {}", client.name(), client.url());
    /// }
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn node_clients(&self) -> &NodeClients {
        &self.0.clients
    }

    /// What happened to the chain so far, and what will.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// let mut events = cx.feed().subscribe();
    /// println!("{:?}", events.next().await);
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn feed(&self) -> &BlockFeed {
        &self.0.feed
    }

    /// The funded accounts that are this run's own.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// let accounts = cx.accounts().draw(2).await?;
    /// assert_ne!(accounts[0].number, accounts[1].number);
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// The number of this run's lease: no other lease of its cluster has it. Names that must be unique on the
    /// cluster, such as those of channels, are made of it.
    #[must_use]
    pub fn lease(&self) -> u64 {
        self.0.lease
    }

    /// The number of accounts, where the scenario gives it.
    #[must_use]
    pub fn wallets(&self) -> Option<usize> {
        self.0.wallets
    }

    /// The id of one of this run's channels, which no other run on the cluster ever has: `chn_wrkd`, the number of
    /// the lease, that of the run in it, and the channel's own.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// assert_ne!(cx.channel(0), cx.channel(1));
    /// assert!(cx.channel(0).0.starts_with(b"chn_wrkd"));
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn channel(&self, index: usize) -> ChannelId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(b"chn_wrkd");
        id[8..16].copy_from_slice(&self.0.lease.to_be_bytes());
        id[16..24].copy_from_slice(&self.0.number.to_be_bytes());
        id[24..].copy_from_slice(&(index as u64).to_be_bytes());
        ChannelId(id)
    }

    /// Where the nodes' metrics can be asked for.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    /// What a node's process uses of the machine; `None` where it does not run.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// if let Some(usage) = cx.node_usage("validator-0").await? {
    ///     println!("{} bytes, {:?} of a processor", usage.memory, usage.processor);
    /// }
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// There is no such node, or the backend lacks the capability `usage`.
    pub async fn node_usage(&self, node: &str) -> Result<Option<Usage>, ClusterError> {
        self.0.cluster.usage(node).await
    }

    /// What can be done to the nodes.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// cx.control()?.restart("validator-1").await?;
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The scenario does not declare `node_control`.
    pub fn control(&self) -> Result<NodeControl, Failure> {
        if self.0.controls_nodes {
            let Inner { topology, genesis, program, cluster, recording, .. } = &*self.0;
            let planned = Planned {
                topology: topology.clone(),
                genesis: genesis.clone(),
                program: Arc::clone(program),
                past: recording.is_some(),
            };
            return Ok(NodeControl::new(Arc::clone(cluster), planned));
        }
        Err(Failure::new(FailureClass::Test, "node control")
            .expected("a scenario that declares that it controls nodes")
            .seen("it does not")
            .try_next("write `#[scenario(node_control)]`, or `.enable_node_control()` by hand"))
    }

    /// What can be done to the network between the nodes.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// cx.faults()?.isolate("validator-1").await?;
    /// cx.faults()?.heal().await?;
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The scenario does not declare `faults`.
    pub fn faults(&self) -> Result<Faults, Failure> {
        let Inner { cluster, clients, topology, disturbing, journal, .. } = &*self.0;
        if self.0.disturbs {
            return Ok(Faults::new(
                Arc::clone(cluster),
                clients.clone(),
                topology.clone(),
                Arc::clone(disturbing),
                Arc::clone(journal),
            )
            .past(self.0.recording.is_some()));
        }
        Err(Failure::new(FailureClass::Test, "faults")
            .expected("a scenario that declares that it disturbs the network")
            .seen("it does not")
            .because("only then its links are planned through a relay")
            .try_next("write `#[scenario(faults)]`, or `.enable_faults()` by hand"))
    }

    pub(crate) fn disturbing(&self) -> &Disturbing {
        &self.0.disturbing
    }

    /// What was known of the run before it began.
    #[must_use]
    pub fn outline(&self) -> Outline<'_> {
        Outline {
            topology: &self.0.topology,
            window: self.0.window,
            wallets: self.0.wallets,
            growth: self.growth(),
            keeps_data: self.0.program.data().is_some(),
            has_wallet: self.0.program.wallet().is_some(),
            workloads: self.0.workloads.iter().map(String::as_str).collect(),
            has_metrics: self.0.telemetry.prometheus().is_some(),
        }
    }

    /// For how long the chain is watched.
    #[must_use]
    pub fn window(&self) -> Window {
        self.0.window
    }

    /// Mean number of blocks in the window: `window / slot * f`, or the number of blocks it is given in.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// // A minute of slots of 2 s, of which 90 % are active.
    /// assert_eq!(cx.expected_blocks(), 27.0);
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn expected_blocks(&self) -> f64 {
        self.0.window.expected_blocks(self.0.topology.consensus())
    }

    /// Mean time between blocks: `slot / f`.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// assert_eq!(cx.block_interval().as_millis(), 2_222);
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn block_interval(&self) -> Duration {
        self.0.topology.consensus().block_interval()
    }

    /// How fast a healthy chain of this topology is sure to grow before late nodes join it.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// let sure = cx.growth().blocks_in(30, 1e-6);
    /// assert!((sure as f64) < cx.expected_blocks());
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn growth(&self) -> Growth {
        Growth::at_start(&self.0.topology, self.0.program.message_delay(&self.0.topology))
    }

    /// The same with only a share of the stake online.
    #[must_use]
    pub fn growth_online(&self, share: f64) -> Growth {
        let delay = self.0.program.message_delay(&self.0.topology);
        Growth::online(self.0.topology.consensus(), delay, share)
    }

    /// The same where messages take longer by `delay`.
    pub(crate) fn growth_disturbed(&self, share: f64, delay: Duration) -> Growth {
        let delay = self.0.program.message_delay(&self.0.topology) + delay;
        Growth::online(self.0.topology.consensus(), delay, share)
    }

    /// How long something submitted may take to be in a block of every node's chain: the time in which a
    /// healthy chain is sure to make `2 + 5` more blocks.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// println!("what is submitted now is in every chain {:?} from now", cx.time_to_land());
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn time_to_land(&self) -> Duration {
        const BLOCKS: u64 = 2 + 5;
        slots(self.topology().consensus().slot, self.growth().slots_for(BLOCKS, FALSE_FAILURES) + 1)
    }

    /// When the window began; `None` before the drive and after it.
    pub(crate) fn began(&self) -> Option<Instant> {
        match *self.0.stage.borrow() {
            Stage::Drive(since) => Some(since),
            Stage::Capture | Stage::Settle | Stage::Settled => None,
        }
    }

    /// When the window ends at the latest; `None` before the drive.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// assert!(cx.deadline().is_some(), "it drives");
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        Some(self.began()? + self.0.window.at_most(self.0.topology.consensus(), &self.growth()))
    }

    /// The clock by which the chain counts its slots.
    #[must_use]
    pub fn clock(&self) -> SlotClock {
        self.0.clock
    }

    /// Completes when workloads should stop: at the end of the window, or when the run failed early.
    pub async fn stopping(&self) {
        self.reached(Stage::Settle).await;
    }

    /// Completes when nothing acts any more and what was in flight had its time to land.
    pub async fn settled(&self) {
        self.reached(Stage::Settled).await;
    }

    async fn reached(&self, stage: Stage) {
        // The sender lives as long as this context.
        let _ = self.0.stage.subscribe().wait_for(|now| *now >= stage).await;
    }

    /// Completes when the run is given up before its window ended: something failed for certain, or nobody waits
    /// for its end any more. Workloads are ended then all the same; this is for what they or the test started
    /// beside them.
    pub async fn cancelled(&self) {
        // The sender lives as long as this context.
        let _ = self.0.cut_short.subscribe().wait_for(|cut_short| *cut_short).await;
    }

    /// Whether the run ended before its window did, because something failed for certain, or nobody waits for its
    /// end any more.
    #[must_use]
    pub fn was_cut_short(&self) -> bool {
        *self.0.cut_short.borrow()
    }

    /// The run that is played again, where this is no run that lives.
    pub(crate) fn recording(&self) -> Option<&Arc<Recording>> {
        self.0.recording.as_ref()
    }

    /// Completes when a run that is played again comes to a phase of this drive; never in one that lives.
    pub(crate) async fn replayed_to(&self, phase: Phase) {
        match &self.0.recording {
            Some(recording) => recording.reached(self.0.number, phase).await,
            None => std::future::pending().await,
        }
    }

    /// Which drive of its run this is, from 0.
    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    pub(crate) fn cut_short(&self) {
        self.0.cut_short.send_replace(true);
    }

    /// Says that an expectation holds by now, though it goes on judging: a run that ends when all that is awaited
    /// holds need not go on for its sake.
    pub fn satisfied(&self, expectation: &str) {
        self.0.satisfied.send_if_modified(|names| names.insert(expectation.to_owned()));
    }

    /// The expectations of which [`satisfied`](Self::satisfied) told, and those to come.
    pub(crate) fn all_satisfied(&self) -> watch::Receiver<BTreeSet<String>> {
        self.0.satisfied.subscribe()
    }

    /// The stages to come.
    pub(crate) fn stages(&self) -> watch::Receiver<Stage> {
        self.0.stage.subscribe()
    }

    pub(crate) fn advance(&self, stage: Stage) {
        self.0.stage.send_replace(stage);
    }

    /// The run's seed.
    #[must_use]
    pub fn run_seed(&self) -> u64 {
        self.0.seed
    }

    /// Random numbers of one purpose: the same for every run with the same seed, whatever else draws.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// use rand::RngExt;
    ///
    /// let nodes = cx.topology().nodes();
    /// let first = &nodes[cx.seed("who is first").random_range(0..nodes.len())];
    /// // Whatever else draws, the same for the same seed.
    /// assert_eq!(first, &nodes[cx.seed("who is first").random_range(0..nodes.len())]);
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn seed(&self, stream: &str) -> ChaCha8Rng {
        derived(self.0.seed, stream)
    }

    /// Where the logs and configurations of the cluster's nodes are.
    #[must_use]
    pub fn cluster_directory(&self) -> &Path {
        &self.0.cluster_directory
    }

    /// The run's directory: its report, and what its workloads write.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// The run's name: invocation, case and attempt.
    #[must_use]
    pub fn run_id(&self) -> String {
        self.0.journal.id()
    }

    /// Puts a line into the run's `events.jsonl`: what happened, and what there is to say of it.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// cx.record("noticed", &"a line of events.jsonl, with its time");
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn record(&self, event: &str, details: &impl serde::Serialize) {
        self.0.journal.event(event, details);
    }

    /// A moment as the run's files tell it: seconds since the run began.
    pub(crate) fn second_of(&self, moment: Instant) -> f64 {
        self.0.journal.second_of(moment)
    }

    /// Puts a section into the run's `report.json`, in place of an earlier one of that name.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// cx.report("noticed", &vec!["a section of report.json", "and of its page"]);
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// Where the value cannot be JSON, such as a map whose keys are no texts.
    pub fn report(&self, section: &str, value: &impl serde::Serialize) {
        let value = serde_json::to_value(value).expect("a section of a report is plain data");
        self.0.sections.lock().unwrap_or_else(PoisonError::into_inner).insert(section.to_owned(), value);
    }

    pub(crate) fn sections(&self) -> BTreeMap<String, serde_json::Value> {
        self.0.sections.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// State of this run, made on first use: what a workload and its expectations share.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// #[derive(Default)]
    /// struct Asked(AtomicU64);
    ///
    /// // A workload counts …
    /// cx.state::<Asked>().0.fetch_add(1, Ordering::Relaxed);
    /// // … and an expectation of the same run reads.
    /// assert_eq!(cx.state::<Asked>().0.load(Ordering::Relaxed), 1);
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn state<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut states = self.0.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        Arc::clone(state).downcast().expect("a state is kept under its own type")
    }

    /// Tells the runner what to wait for when the workloads have stopped: `count` says how much is
    /// submitted and may still land.
    pub fn await_pending(&self, count: impl Fn() -> usize + Send + Sync + 'static) {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(count));
    }

    pub(crate) fn pending(&self) -> usize {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|count| count()).sum()
    }

    /// The states of all nodes' processes, now.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// let states = cx.node_states().await?;
    /// assert!(states.iter().all(|node| node.starts == 1));
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The cluster cannot be asked.
    pub async fn node_states(&self) -> Result<Vec<NodeState>, ClusterError> {
        Ok(self.0.cluster.states(0).await?.nodes)
    }

    /// The states of all nodes' processes as soon as they differ from version `newer_than`.
    pub(crate) async fn node_states_after(
        &self,
        newer_than: u64,
    ) -> Result<crate::deployer::States, ClusterError> {
        self.0.cluster.states(newer_than).await
    }

    /// A part of a node's log.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// # let driving = runner.start(&scenario).await?;
    /// # let cx = driving.context();
    /// use logos_scenario_runtime::deployer::LogPart;
    ///
    /// println!("{}", cx.node_log("validator-0", LogPart::Last(20)).await?);
    /// # driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// There is no such node, or its log cannot be read.
    pub async fn node_log(&self, node: &str, part: LogPart) -> Result<String, ClusterError> {
        Ok(self.0.cluster.logs(node, part).await?.text)
    }

    /// The same, with the place in the log where the next part begins.
    pub(crate) async fn node_log_part(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        self.0.cluster.logs(node, part).await
    }

    /// Where the nodes are.
    #[must_use]
    pub fn endpoints(&self) -> &[NodeEndpoints] {
        &self.0.cluster.description().nodes
    }

    /// Where a person finds a node's log.
    #[must_use]
    pub fn log_place(&self, node: &str) -> String {
        let endpoints = self.endpoints().iter().find(|endpoints| endpoints.name == node);
        endpoints.map_or_else(|| format!("the log of {node}"), |endpoints| endpoints.log.clone())
    }

    /// Where a person finds the logs of all nodes: folders, which are the cluster's only where nothing says otherwise.
    pub(crate) fn logs_place(&self) -> String {
        let place = |log: &String| match Path::new(log).parent() {
            Some(folder) if folder.is_absolute() => folder.display().to_string(),
            _ => log.clone(),
        };
        let places: BTreeSet<_> = self.endpoints().iter().map(|endpoints| place(&endpoints.log)).collect();
        places.into_iter().collect::<Vec<_>>().join(", ")
    }
}

pub(crate) fn derived(seed: u64, stream: &str) -> ChaCha8Rng {
    use blake2::{Blake2b, Digest, digest::consts::U32};
    let key = Blake2b::<U32>::new().chain_update(seed.to_le_bytes()).chain_update(stream).finalize();
    ChaCha8Rng::from_seed(key.into())
}

/// Says which slot it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotClock {
    start: Instant,
    slot: Duration,
}

impl SlotClock {
    pub(crate) fn new(cluster: &ClusterDescription, slot: Duration) -> Self {
        let start = match cluster.seen_slot {
            Some((then, seen)) => then.checked_sub(slots(slot, seen)).unwrap_or(cluster.start_time),
            None => cluster.start_time,
        };
        let running = start.elapsed().unwrap_or_default();
        Self { start: Instant::now().checked_sub(running).unwrap_or_else(Instant::now), slot }
    }

    /// Of slots that began to be counted at `start`.
    pub(crate) fn from(start: Instant, slot: Duration) -> Self {
        Self { start, slot }
    }

    /// When slot 0 began.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// The slot that runs now.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// The slot that ran at `time`; 0 before the start.
    #[must_use]
    pub fn at(&self, time: Instant) -> u64 {
        let slots = time.saturating_duration_since(self.start).as_nanos() / self.slot.as_nanos();
        u64::try_from(slots).unwrap_or(u64::MAX)
    }
}
