//! A cluster in memory: no process, no socket, and time that may be paused. For tests of the framework,
//! and of workloads and expectations written for it.
//!
//! ```
//! # use logos_scenario_runtime as logos_scenario;
//! use std::time::Duration;
//! use logos_scenario::fake::{self, FakeDeployer, FakeProgram, Fault};
//! use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
//!
//! fake::in_no_time(async {
//!     let scenario = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 0))
//!         .with_program(FakeProgram)
//!         .transactions_with(|tx| tx.rate(2))
//!         .expect_consensus_liveness()
//!         .with_run_duration(Duration::from_secs(60))
//!         .build()?;
//!     let report = FakeDeployer::default().run(&scenario).await?;
//!     assert!(report.held.contains(&"ConsensusLiveness".to_owned()));
//!
//!     let faulty = FakeDeployer::default().with_fault("validator-1", 5, Fault::DropTransactions);
//!     let failed = faulty.run(&scenario).await.expect_err("a node forgets transactions");
//!     assert!(failed.to_string().starts_with("TransactionInclusion failed (product)"));
//!     Ok(())
//! });
//! ```

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::deployer::{
    BoxFuture, Capabilities, Cluster, ClusterDescription, ClusterError, DeployError, Deployer, Log, LogPart,
    NodeAction, NodeEndpoints, NodeState, NodeStatus, Placement, States, Unavailable, Usage,
};
use crate::failure::Problem;
use crate::faults::{LinkState, NetworkFault};
use crate::node::{
    DataAvailability, HttpDialect, NodeProgram, Note, Reply, Request, TransactionId, Transfer, Transport,
    Wallet,
};
use crate::plan::{
    Binding, Bindings, Executable, Genesis, NodePlanning, Plan, PlannedFile, PlannedNode, PlannedPort,
    Protocol,
};
use crate::runner::Runner;
use crate::scenario::{Scenario, ScenarioBuilder, ScenarioBuilderExt};
use crate::topology::Topology;

mod chain;
mod data;
use chain::Chain;

/// Something that is wrong with a fake node, from a height on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// It makes no block any more.
    Idle,
    /// It accepts transactions and forgets them.
    DropTransactions,
    /// It ends by itself after logging a panic.
    Panic,
    /// It hears and is heard no more, and goes on alone.
    Fork,
    /// It refuses connections, and runs.
    Closed,
    /// It answers every request with something that is no answer.
    Garbage,
    /// It hands out no share of any blob.
    WithholdShares,
    /// It hands out shares that are not what they were.
    CorruptShares,
    /// It forgets the shares of a blob that is in a block.
    LoseBlobs,
    /// It takes no blob into its blocks.
    RefuseSampling,
    /// It acknowledges dispersals and disperses nothing.
    DropDispersals,
    /// It holds a mebibyte more with each block, and needs two seconds of a processor for each slot.
    Leak,
}

/// Makes clusters in memory.
#[derive(Clone, Debug)]
pub struct FakeDeployer {
    name: &'static str,
    capabilities: Capabilities,
    faults: Vec<(String, u64, Fault)>,
    relay_ends: Option<u64>,
}

impl Default for FakeDeployer {
    fn default() -> Self {
        let capabilities = Capabilities {
            node_control: true,
            pause: true,
            isolate: true,
            network_faults: true,
            usage: true,
            replan: true,
            ..Capabilities::default()
        };
        Self { name: "fake", capabilities, faults: Vec::new(), relay_ends: None }
    }
}

impl FakeDeployer {
    /// Stands in for the backend of that name.
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Claims to be capable of this.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Makes one node faulty from a height on.
    #[must_use]
    pub fn with_fault(mut self, node: &str, height: u64, fault: Fault) -> Self {
        self.faults.push((node.to_owned(), height, fault));
        self
    }

    /// Loses the relay between the nodes when the chain has a height; 0 is from the beginning.
    #[must_use]
    pub fn losing_its_relay_at(mut self, height: u64) -> Self {
        self.relay_ends = Some(height);
        self
    }
}

/// What examples begin with: a cluster of two validators and an executor that is ready, and a scenario for it.
#[doc(hidden)]
pub async fn example() -> Result<(Runner, Scenario), Box<dyn Error>> {
    let scenario = ScenarioBuilder::with_topology(Topology::with_node_counts(2, 1))
        .with_program(FakeProgram)
        .enable_node_control()
        .enable_faults()
        .expect_consensus_liveness()
        .with_run_duration(Duration::from_secs(60))
        .build()?;
    Ok((FakeDeployer::default().deploy(&scenario).await?, scenario))
}

/// Runs what uses a cluster in memory, with time that passes only while nobody has anything to do: an hour of its chain
/// takes moments. It is for examples and a `main`; a test is `#[tokio::test(start_paused = true)]`.
///
/// # Panics
///
/// With the error, if there is one.
pub fn in_no_time(future: impl Future<Output = Result<(), Box<dyn Error>>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    if let Err(error) = runtime.expect("a runtime can be made").block_on(future) {
        panic!("{error}");
    }
}

impl Deployer for FakeDeployer {
    type Cluster = FakeCluster;

    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn in_memory(&self) -> bool {
        true
    }

    async fn available(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    async fn provision(&self, plan: &Plan, place: &Placement) -> Result<FakeCluster, DeployError> {
        let bindings =
            Bindings::new(plan, |_, node| Binding::new(&node.name, node, place.directory.join(&node.name)));
        let nodes = plan.render(&bindings).map_err(|error| refused(&error.node, error.to_string()))?;
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        if let Some((unknown, ..)) = self.faults.iter().find(|(node, ..)| !names.contains(&node.as_str())) {
            return Err(refused(unknown, format!("has a fault, but the nodes are {}", names.join(", "))));
        }
        let settings = nodes.iter().map(settings).collect::<Result<Vec<_>, _>>()?;
        let slot = settings[0].slot;
        let seed = u64::from_le_bytes(plan.key.derive("fake")[..8].try_into().expect("eight bytes"));
        let mut chain = Chain::new(settings[0].active_slot_coeff, settings[0].security_param, seed);
        for (node, settings) in nodes.iter().zip(settings) {
            chain.add(&node.name, all_faults(&node.name, settings, &self.faults), !node.late);
        }
        let endpoints = nodes.iter().map(|node| NodeEndpoints {
            name: node.name.clone(),
            role: node.role,
            addresses: [("http".to_owned(), node.name.clone())].into(),
            log: format!("the fake log of {}", node.name),
        });
        let description = ClusterDescription {
            start_time: bindings.start_time,
            seen_slot: None,
            nodes: endpoints.collect(),
        };
        let world = Arc::new(World {
            chain: Mutex::new(chain),
            states: watch::Sender::new(States {
                version: 1,
                nodes: nodes.iter().map(state).collect(),
                ..States::default()
            }),
            relay_ends: self.relay_ends,
        });
        world.relay();
        let ticker = tokio::spawn(ticking(Arc::clone(&world), slot));
        Ok(FakeCluster {
            description,
            world,
            ticker,
            plan: plan.clone(),
            bindings,
            own_faults: self.faults.clone(),
        })
    }

    async fn sweep(&self) -> Result<Vec<String>, DeployError> {
        Ok(Vec::new())
    }
}

fn refused(subject: &str, what: String) -> DeployError {
    let try_next = "see the example of the `fake` module".to_owned();
    DeployError { subject: subject.to_owned(), what, try_next, log: None }
}

fn settings(node: &PlannedNode) -> Result<Settings, DeployError> {
    let file = node.files.first().map_or("", |file| &file.text);
    let read = serde_json::from_str(file);
    read.map_err(|error| refused(&node.name, format!("is not planned by FakeProgram: {error}")))
}

/// The faults that a node's settings give it, and those that its deployer does.
fn all_faults(node: &str, settings: Settings, own: &[(String, u64, Fault)]) -> Vec<(u64, Fault)> {
    let own = own.iter().filter(|(name, ..)| name == node);
    settings.faults.into_iter().chain(own.map(|(_, from, fault)| (*from, *fault))).collect()
}

fn state(node: &PlannedNode) -> NodeState {
    let status = if node.late { NodeStatus::Stopped } else { NodeStatus::Running };
    let starts = u32::from(!node.late);
    NodeState { name: node.name.clone(), status, starts, starts_by_us: starts }
}

async fn ticking(world: Arc<World>, slot: Duration) {
    let mut slots = tokio::time::interval(slot);
    slots.tick().await;
    loop {
        slots.tick().await;
        world.tick();
    }
}

/// A cluster in memory.
pub struct FakeCluster {
    description: ClusterDescription,
    world: Arc<World>,
    ticker: JoinHandle<()>,
    plan: Plan,
    bindings: Bindings,
    /// Those that the deployer gave nodes, whatever is planned.
    own_faults: Vec<(String, u64, Fault)>,
}

debug_as!(FakeCluster, |this| description: this.description);

impl Drop for FakeCluster {
    fn drop(&mut self) {
        self.ticker.abort();
        self.world.close();
    }
}

struct World {
    chain: Mutex<Chain>,
    states: watch::Sender<States>,
    /// The height of the chain at which there is no relay any more.
    relay_ends: Option<u64>,
}

impl World {
    fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One slot passes.
    fn tick(&self) {
        let ended = self.chain().slot();
        for node in ended {
            self.states.send_modify(|states| {
                let state = states.nodes.iter_mut().find(|state| state.name == node);
                state.expect("nodes of the chain have states").status =
                    NodeStatus::Exited("exit code 101".to_owned());
                states.version += 1;
            });
        }
        self.relay();
    }

    /// Tells the end of the relay, if it has come.
    fn relay(&self) {
        let height = self.chain().best_height();
        self.states.send_if_modified(|states| {
            let ends = states.broken.is_none() && self.relay_ends.is_some_and(|end| height >= end);
            if ends {
                states.version += 1;
                states.broken = Some("the fake relay has ended".to_owned());
            }
            ends
        });
    }

    fn control(&self, node: &str, action: NodeAction) -> Result<(), ClusterError> {
        let mut chain = self.chain();
        let mut outcome = Ok(());
        self.states.send_if_modified(|states| {
            outcome = chain.is_open(node).and_then(|()| controlled(states, node, action));
            outcome.is_ok()
        });
        outcome?;
        match action {
            NodeAction::Stop | NodeAction::Kill | NodeAction::Pause => chain.down(node),
            NodeAction::Resume => chain.up(node),
            NodeAction::Start | NodeAction::Restart => chain.start(node),
            NodeAction::Isolate => chain.set_apart(node, true),
            NodeAction::Rejoin => chain.set_apart(node, false),
        }
        Ok(())
    }

    fn close(&self) {
        self.chain().close();
        self.states.send_modify(|states| {
            states.version += 1;
            let runs =
                |state: &&mut NodeState| matches!(state.status, NodeStatus::Running | NodeStatus::Paused);
            states.nodes.iter_mut().filter(runs).for_each(|state| state.status = NodeStatus::Stopped);
        });
    }
}

fn controlled(states: &mut States, node: &str, action: NodeAction) -> Result<(), ClusterError> {
    let position = states.nodes.iter().position(|state| state.name == node);
    let names = states.nodes.iter().map(|state| state.name.as_str());
    let position = position.ok_or_else(|| ClusterError::no_such_node(node, names))?;
    let state = &mut states.nodes[position];
    action.allowed(node, &state.status)?;
    state.status = match action {
        NodeAction::Stop | NodeAction::Kill => NodeStatus::Stopped,
        NodeAction::Pause => NodeStatus::Paused,
        NodeAction::Isolate | NodeAction::Rejoin => state.status.clone(),
        NodeAction::Start | NodeAction::Restart | NodeAction::Resume => NodeStatus::Running,
    };
    let starts = u32::from(matches!(action, NodeAction::Start | NodeAction::Restart));
    state.starts += starts;
    state.starts_by_us += starts;
    states.version += 1;
    Ok(())
}

impl Cluster for FakeCluster {
    fn description(&self) -> &ClusterDescription {
        &self.description
    }

    async fn states(&self, newer_than: u64) -> Result<States, ClusterError> {
        let mut states = self.world.states.subscribe();
        let newer = states.wait_for(|states| states.version > newer_than).await;
        newer.map(|states| states.clone()).map_err(|_| ClusterError::gone())
    }

    async fn control(&self, node: &str, action: NodeAction) -> Result<(), ClusterError> {
        self.world.control(node, action)
    }

    async fn replan(&self, node: PlannedNode) -> Result<(), ClusterError> {
        self.world.chain().is_open(&node.name)?;
        let (_, node) = self.plan.replanned(&node, &self.bindings)?;
        let settings = settings(&node)?;
        let faults = all_faults(&node.name, settings, &self.own_faults);
        self.world.chain().replan(&node.name, faults);
        self.world.states.send_modify(|states| {
            states.version += 1;
            states.replanned.insert(node.name);
        });
        Ok(())
    }

    async fn disturb(&self, faults: Vec<NetworkFault>) -> Result<(), ClusterError> {
        if !self.plan.relayed {
            return Err(ClusterError::no_relay());
        }
        if let Some(fault) = faults.iter().find(|fault| !fault.cuts()) {
            let what = format!("cannot be disturbed by `{fault}`: fake nodes hear each other at once");
            return Err(ClusterError { subject: "cluster".to_owned(), what });
        }
        self.world.chain().disturb(faults);
        Ok(())
    }

    async fn links(&self) -> Result<Vec<LinkState>, ClusterError> {
        if self.plan.relayed { Ok(self.world.chain().links()) } else { Err(ClusterError::no_relay()) }
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        let names = || self.description.nodes.iter().map(|node| node.name.as_str());
        let log = self.world.chain().log(node).map(str::to_owned);
        let log = log.ok_or_else(|| ClusterError::no_such_node(node, names()))?;
        Ok(Log::part(log.as_bytes(), part))
    }

    async fn usage(&self, node: &str) -> Result<Option<Usage>, ClusterError> {
        let state = self.states(0).await?.nodes.into_iter().find(|state| state.name == node);
        let names = || self.description.nodes.iter().map(|node| node.name.as_str());
        let state = state.ok_or_else(|| ClusterError::no_such_node(node, names()))?;
        let runs = matches!(state.status, NodeStatus::Running | NodeStatus::Paused);
        Ok(runs.then(|| self.world.chain().usage(node)).flatten())
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        self.ticker.abort();
        self.world.close();
        Ok(())
    }

    fn connect(&self, address: &str) -> Arc<dyn Transport> {
        Arc::new(FakeTransport { node: address.to_owned(), world: Arc::clone(&self.world) })
    }
}

struct FakeTransport {
    node: String,
    world: Arc<World>,
}

impl Transport for FakeTransport {
    fn url(&self) -> &str {
        &self.node
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, String>> {
        let Request { path, body, .. } = request;
        Box::pin(async move {
            let (status, body) = self.world.chain().answer(&self.node, &path, body.as_ref())?;
            let body = match body {
                // What production nodes answer with a value a line.
                Value::Array(lines) if path == "/da/sampling/shares" => {
                    lines.iter().map(|line| format!("{line}\n")).collect()
                }
                body => body.to_string(),
            };
            Ok(Reply { status, body: body.into_bytes() })
        })
    }
}

/// The node program of fake clusters. Its nodes have the devnode's settings `faults.stop_producing_at`,
/// `faults.accept_and_drop`, `faults.panic_at`, `faults.fork_away_at`, `faults.http`, which is `closed` or
/// `garbage`, and `faults.withhold_shares`, `faults.corrupt_shares`, `faults.lose_blobs`,
/// `faults.refuse_sampling` and `faults.drop_dispersals`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakeProgram;

#[derive(Serialize, Deserialize)]
struct Settings {
    slot: Duration,
    active_slot_coeff: f64,
    security_param: u32,
    faults: Vec<(u64, Fault)>,
}

/// The fault that a setting of one node means, and the height from which on it has it.
fn fault(node: &str, (path, value): &(String, Value)) -> Result<(u64, Fault), Problem> {
    let fault = match (path.as_str(), value.as_u64(), value.as_str()) {
        ("faults.stop_producing_at", Some(height), _) => (height, Fault::Idle),
        ("faults.panic_at", Some(height), _) => (height, Fault::Panic),
        ("faults.fork_away_at", Some(height), _) => (height, Fault::Fork),
        ("faults.accept_and_drop", ..) if value == true => (0, Fault::DropTransactions),
        ("faults.withhold_shares", ..) if value == true => (0, Fault::WithholdShares),
        ("faults.corrupt_shares", ..) if value == true => (0, Fault::CorruptShares),
        ("faults.lose_blobs", ..) if value == true => (0, Fault::LoseBlobs),
        ("faults.refuse_sampling", ..) if value == true => (0, Fault::RefuseSampling),
        ("faults.drop_dispersals", ..) if value == true => (0, Fault::DropDispersals),
        ("faults.http", _, Some("closed")) => (0, Fault::Closed),
        ("faults.http", _, Some("garbage")) => (0, Fault::Garbage),
        _ => {
            return Err(Problem::new(
                format!("topology.with_node(\"{node}\").config(\"{path}\")"),
                format!("the fake program has no such setting with the value {value}"),
                "see `FakeProgram` for those it has",
            ));
        }
    };
    Ok(fault)
}

impl NodeProgram for FakeProgram {
    fn name(&self) -> &str {
        "fake"
    }

    fn identity(&self) -> String {
        "1".to_owned()
    }

    fn plan(&self, node: &NodePlanning<'_>) -> Result<PlannedNode, Problem> {
        let consensus = node.topology.consensus();
        let faults = node.node().config.iter().map(|setting| fault(&node.node().name, setting));
        let settings = Settings {
            slot: consensus.slot,
            active_slot_coeff: consensus.active_slot_coeff,
            security_param: consensus.security_param,
            faults: faults.collect::<Result<_, _>>()?,
        };
        let text = serde_json::to_string(&settings).expect("plain data becomes JSON");
        let executable = Executable { program: "fake".to_owned(), path: None };
        Ok(PlannedNode {
            files: vec![PlannedFile { path: "settings.json".into(), text }],
            ports: vec![PlannedPort { name: "http".to_owned(), protocol: Protocol::Tcp, number: 18080 }],
            ..PlannedNode::new(node.node(), executable)
        })
    }

    fn http(&self) -> HttpDialect {
        HttpDialect { testing_port: Some("http".to_owned()), ..HttpDialect::default() }
    }

    fn wallet(&self) -> Option<&dyn Wallet> {
        Some(self)
    }

    fn data(&self) -> Option<&dyn DataAvailability> {
        Some(self)
    }

    fn message_delay(&self, _: &Topology) -> Duration {
        Duration::ZERO
    }
}

impl Wallet for FakeProgram {
    fn genesis_notes(&self, genesis: &Genesis) -> Vec<Note> {
        let note = |(account, value): (usize, &u64)| Note {
            id: chain::hash(&("note", account)).to_string(),
            value: *value,
        };
        genesis.accounts.iter().enumerate().map(note).collect()
    }

    fn transfer(&self, owner: usize, input: &Note, outputs: &[(usize, u64)]) -> Transfer {
        let id = TransactionId(chain::hash(&("transfer", owner, &input.id, outputs)).0);
        let note = |(index, (_, value)): (usize, &(usize, u64))| Note {
            id: chain::hash(&("note", id, index)).to_string(),
            value: *value,
        };
        Transfer { id, body: json!({ "id": id }), notes: outputs.iter().enumerate().map(note).collect() }
    }

    fn transaction_id(&self, transaction: &Value) -> Result<TransactionId, String> {
        serde_json::from_value(transaction["id"].clone()).map_err(|error| error.to_string())
    }
}
