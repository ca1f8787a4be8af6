//! A cluster in memory: no process, no socket, and time that may be paused. For tests of the framework,
//! and of workloads and expectations written for it.
//!
//! ```
//! use std::time::Duration;
//! use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram};
//! use logos_scenario_runtime::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! let scenario = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 0))
//!     .with_program(FakeProgram)
//!     .transactions_with(|tx| tx.rate(2))
//!     .expect_consensus_liveness()
//!     .with_run_duration(Duration::from_secs(60))
//!     .build()?;
//! let runner = FakeDeployer::default().deploy(&scenario).await?;
//! let report = runner.run(&scenario).await?;
//! assert!(report.held.contains(&"ConsensusLiveness".to_owned()));
//! runner.teardown().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::deployer::{
    BoxFuture, Capabilities, Cluster, ClusterDescription, ClusterError, DeployError, Deployer, Log, LogPart,
    NodeAction, NodeEndpoints, NodeState, NodeStatus, Placement, States, Unavailable,
};
use crate::failure::Problem;
use crate::node::{NodeProgram, Note, Reply, Request, TransactionId, Transfer, Transport, Wallet};
use crate::plan::{
    Binding, Bindings, Executable, Genesis, NodePlanning, Plan, PlannedFile, PlannedNode, PlannedPort,
    Protocol,
};
use crate::topology::Topology;

mod chain;
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
}

/// Makes clusters in memory.
#[derive(Clone, Debug)]
pub struct FakeDeployer {
    name: &'static str,
    faults: Vec<(String, u64, Fault)>,
}

impl Default for FakeDeployer {
    fn default() -> Self {
        Self { name: "fake", faults: Vec::new() }
    }
}

impl FakeDeployer {
    /// Stands in for the backend of that name.
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Makes one node faulty from a height on.
    #[must_use]
    pub fn with_fault(mut self, node: &str, height: u64, fault: Fault) -> Self {
        self.faults.push((node.to_owned(), height, fault));
        self
    }
}

impl Deployer for FakeDeployer {
    type Cluster = FakeCluster;

    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { node_control: true, pause: true, isolate: true, ..Capabilities::default() }
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
            let more = self.faults.iter().filter(|(name, ..)| *name == node.name);
            let faults = settings.faults.into_iter().chain(more.map(|(_, from, fault)| (*from, *fault)));
            chain.add(&node.name, faults.collect(), !node.late);
        }
        let endpoints = nodes.iter().map(|node| NodeEndpoints {
            name: node.name.clone(),
            role: node.role,
            addresses: [("http".to_owned(), node.name.clone())].into(),
            log: format!("the fake log of {}", node.name),
        });
        let description = ClusterDescription { start_time: bindings.start_time, nodes: endpoints.collect() };
        let world = Arc::new(World {
            chain: Mutex::new(chain),
            states: watch::Sender::new(States { version: 1, nodes: nodes.iter().map(state).collect() }),
        });
        let ticker = tokio::spawn(ticking(Arc::clone(&world), slot));
        Ok(FakeCluster { description, world, ticker })
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
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        self.ticker.abort();
        self.world.close();
    }
}

struct World {
    chain: Mutex<Chain>,
    states: watch::Sender<States>,
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
        newer
            .map(|states| states.clone())
            .map_err(|_| ClusterError { subject: "cluster".to_owned(), what: "is gone".to_owned() })
    }

    async fn control(&self, node: &str, action: NodeAction) -> Result<(), ClusterError> {
        self.world.control(node, action)
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        let names = || self.description.nodes.iter().map(|node| node.name.as_str());
        let log = self.world.chain().log(node).map(str::to_owned);
        let log = log.ok_or_else(|| ClusterError::no_such_node(node, names()))?;
        Ok(Log::part(log.as_bytes(), part))
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
        let Request { path, body } = request;
        Box::pin(async move {
            let (status, body) = self.world.chain().answer(&self.node, &path, body.as_ref())?;
            Ok(Reply { status, body: body.to_string().into_bytes() })
        })
    }
}

/// The node program of fake clusters. Its nodes have the devnode's settings `faults.stop_producing_at`,
/// `faults.accept_and_drop`, `faults.panic_at`, `faults.fork_away_at`, and `faults.http`, which is `closed` or
/// `garbage`.
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

    fn wallet(&self) -> &dyn Wallet {
        self
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
