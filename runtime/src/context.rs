//! What a workload, an expectation or a test may see and do while a scenario runs.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::deployer::{ClusterDescription, ClusterError, DynCluster, Log, LogPart, NodeEndpoints, NodeState};
use crate::expectation::bound::{FALSE_FAILURES, Growth};
use crate::failure::{Failure, FailureClass};
use crate::feed::BlockFeed;
use crate::node::{ClientError, NodeClient, NodeProgram, Note};
use crate::plan::Genesis;
use crate::report::Journal;
use crate::scenario::{Window, slots};
use crate::topology::{Role, Topology};

/// What a workload, an expectation or a test may see and do. Cheap to clone.
#[derive(Clone)]
pub struct RunContext(Arc<Inner>);

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
    pub(crate) clock: SlotClock,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) wallets: Option<usize>,
    pub(crate) stage: watch::Sender<Stage>,
    pub(crate) cut_short: AtomicBool,
    pub(crate) states: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    pub(crate) pending: Mutex<Vec<Pending>>,
    pub(crate) sections: Mutex<BTreeMap<String, serde_json::Value>>,
    pub(crate) journal: Arc<Journal>,
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
    #[must_use]
    pub fn node_clients(&self) -> &NodeClients {
        &self.0.clients
    }

    /// What happened to the chain so far, and what will.
    #[must_use]
    pub fn feed(&self) -> &BlockFeed {
        &self.0.feed
    }

    /// The funded accounts that are this run's own.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// The number of accounts, where the scenario gives it.
    #[must_use]
    pub fn wallets(&self) -> Option<usize> {
        self.0.wallets
    }

    /// For how long the chain is watched.
    #[must_use]
    pub fn window(&self) -> Window {
        self.0.window
    }

    /// Mean number of blocks in the window: `window / slot * f`, or the number of blocks it is given in.
    #[must_use]
    pub fn expected_blocks(&self) -> f64 {
        self.0.window.expected_blocks(self.0.topology.consensus())
    }

    /// Mean time between blocks: `slot / f`.
    #[must_use]
    pub fn block_interval(&self) -> Duration {
        self.0.topology.consensus().block_interval()
    }

    /// How fast a healthy chain of this topology is sure to grow.
    #[must_use]
    pub fn growth(&self) -> Growth {
        Growth::of(self.0.topology.consensus(), self.0.program.message_delay(&self.0.topology))
    }

    /// The same with only a share of the stake online.
    #[must_use]
    pub fn growth_online(&self, share: f64) -> Growth {
        let delay = self.0.program.message_delay(&self.0.topology);
        Growth::online(self.0.topology.consensus(), delay, share)
    }

    /// How long something submitted may take to be in a block of every node's chain: the time in which a
    /// healthy chain is sure to make `2 + 5` more blocks.
    #[must_use]
    pub fn time_to_land(&self) -> Duration {
        const BLOCKS: u64 = 2 + 5;
        slots(self.topology().consensus().slot, self.growth().slots_for(BLOCKS, FALSE_FAILURES) + 1)
    }

    /// When the window ends at the latest; `None` before the drive.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let Stage::Drive(since) = *self.0.stage.borrow() else { return None };
        Some(since + self.0.window.at_most(self.0.topology.consensus(), &self.growth()))
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

    /// Whether the run ended before its window did, because something failed for certain.
    #[must_use]
    pub fn was_cut_short(&self) -> bool {
        self.0.cut_short.load(Ordering::Relaxed)
    }

    pub(crate) fn cut_short(&self) {
        self.0.cut_short.store(true, Ordering::Relaxed);
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
    #[must_use]
    pub fn seed(&self, stream: &str) -> ChaCha8Rng {
        derived(self.0.seed, stream)
    }

    /// The run's directory: logs, configurations and the report.
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
    pub fn record(&self, event: &str, details: &impl serde::Serialize) {
        self.0.journal.event(event, details);
    }

    /// Puts a section into the run's `report.json`, in place of an earlier one of that name.
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
        let running = cluster.start_time.elapsed().unwrap_or_default();
        Self { start: Instant::now().checked_sub(running).unwrap_or_else(Instant::now), slot }
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

/// Clients of all nodes.
#[derive(Clone, Debug)]
pub struct NodeClients(Arc<[NodeClient]>);

impl NodeClients {
    pub(crate) fn new(clients: Vec<NodeClient>) -> Self {
        Self(clients.into())
    }

    /// All of them, validators first.
    #[must_use]
    pub fn all(&self) -> &[NodeClient] {
        &self.0
    }

    /// Those of one role.
    #[must_use]
    pub fn with_role(&self, role: Role) -> Vec<&NodeClient> {
        self.0.iter().filter(|client| client.role() == role).collect()
    }

    /// Those of validators: `with_role(Role::Validator)`.
    #[must_use]
    pub fn validator_clients(&self) -> Vec<&NodeClient> {
        self.with_role(Role::Validator)
    }

    /// Those of executors: `with_role(Role::Executor)`.
    #[must_use]
    pub fn executor_clients(&self) -> Vec<&NodeClient> {
        self.with_role(Role::Executor)
    }

    /// The one of a node, by its name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&NodeClient> {
        self.0.iter().find(|client| client.name() == name)
    }

    /// A random one.
    ///
    /// # Panics
    ///
    /// Never: a topology has a node.
    pub fn any(&self, rng: &mut impl rand::Rng) -> &NodeClient {
        self.0.choose(rng).expect("a topology has at least one node")
    }

    /// Asks one node after the other, beginning with a random one, until one answers.
    ///
    /// # Errors
    ///
    /// The first error that says the node did answer, or the last one if none did.
    pub async fn try_all<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        rng: &mut impl rand::Rng,
        mut ask: impl FnMut(NodeClient) -> F,
    ) -> Result<T, ClientError> {
        let mut order = self.0.to_vec();
        order.shuffle(rng);
        let last = order.pop().expect("a topology has at least one node");
        for client in order {
            match ask(client).await {
                Err(error) if error.is_unreachable() => {}
                answer => return answer,
            }
        }
        ask(last).await
    }
}

/// A funded account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number in genesis.
    pub number: usize,
    /// The note that genesis gives it.
    pub note: Note,
}

/// Funded accounts, each handed out once.
#[derive(Debug)]
pub struct Accounts {
    total: usize,
    free: Mutex<Vec<Account>>,
}

impl Accounts {
    pub(crate) fn new(genesis_notes: Vec<Note>, seed: u64) -> Self {
        let account = |(number, note)| Account { number, note };
        let mut free: Vec<_> = genesis_notes.into_iter().enumerate().map(account).collect();
        free.shuffle(&mut derived(seed, "accounts"));
        Self { total: free.len(), free: Mutex::new(free) }
    }

    /// Takes `count` accounts that nobody else has.
    ///
    /// # Errors
    ///
    /// There are not that many left.
    pub fn draw(&self, count: usize) -> Result<Vec<Account>, Failure> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let left = free.len().checked_sub(count).ok_or_else(|| {
            Failure::new(FailureClass::Test, "accounts")
                .expected(format!("{count} accounts that nobody uses yet"))
                .seen(format!("{} of {} are left", free.len(), self.total))
                .try_next(format!("give the scenario `wallets({})` or more", self.total + count))
        })?;
        Ok(free.split_off(left))
    }
}
