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

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::deployer::{
    BoxFuture, Capabilities, Cluster, ClusterDescription, ClusterError, DeployError, Deployer, Log, LogPart,
    NodeAction, NodeEndpoints, NodeState, NodeStatus, Placement, States, Unavailable,
};
use crate::failure::Problem;
use crate::node::{NodeProgram, Note, Reply, Request, TransactionId, Transfer, Transport, Wallet};
use crate::plan::{Executable, Genesis, NodePlanning, Plan, PlannedNode, PlannedPort, Protocol};
use crate::topology::Topology;

mod chain;
use chain::Chain;

/// Something that is wrong with a fake node, from a height on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It makes no block any more.
    Idle,
    /// It accepts transactions and forgets them.
    DropTransactions,
    /// It ends by itself after logging a panic.
    Panic,
    /// It hears and is heard no more, and goes on alone.
    Fork,
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
        Capabilities { node_control: true, pause: true, network_faults: false }
    }

    async fn available(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    async fn provision(&self, plan: &Plan, _: &Placement) -> Result<FakeCluster, DeployError> {
        let settings: Settings = serde_json::from_str(&plan.nodes[0].files[0].text).map_err(|error| {
            refused(&plan.nodes[0].name, format!("is not planned by FakeProgram: {error}"))
        })?;
        let nodes: Vec<String> = plan.nodes.iter().map(|node| node.name.clone()).collect();
        if let Some((unknown, ..)) = self.faults.iter().find(|(node, ..)| !nodes.contains(node)) {
            return Err(refused(unknown, format!("has a fault, but the nodes are {}", nodes.join(", "))));
        }
        let endpoints = plan.nodes.iter().map(|node| NodeEndpoints {
            name: node.name.clone(),
            role: node.role,
            addresses: [("http".to_owned(), node.name.clone())].into(),
            log: format!("the fake log of {}", node.name),
        });
        let description = ClusterDescription { start_time: SystemTime::now(), nodes: endpoints.collect() };
        let seed = u64::from_le_bytes(plan.key.derive("fake")[..8].try_into().expect("eight bytes"));
        let world = Arc::new(World {
            chain: Mutex::new(Chain::new(
                nodes,
                self.faults.clone(),
                settings.active_slot_coeff,
                settings.security_param,
                seed,
            )),
            states: watch::Sender::new(running(plan)),
        });
        let ticking = Arc::clone(&world);
        let ticker = tokio::spawn(async move {
            let mut slots = tokio::time::interval(settings.slot);
            slots.tick().await;
            loop {
                slots.tick().await;
                ticking.tick();
            }
        });
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

fn running(plan: &Plan) -> States {
    let state = |node: &PlannedNode| NodeState {
        name: node.name.clone(),
        status: NodeStatus::Running,
        starts: 1,
        starts_by_us: 1,
    };
    States { version: 1, nodes: plan.nodes.iter().map(state).collect() }
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
        for node in self.chain().slot() {
            self.set(&node, |state| state.status = NodeStatus::Exited("exit code 101".to_owned()));
        }
    }

    fn set(&self, node: &str, change: impl FnOnce(&mut NodeState)) {
        self.states.send_modify(|states| {
            states.version += 1;
            states.nodes.iter_mut().find(|state| state.name == node).map(change).unwrap_or_default();
        });
    }
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
        if !self
            .world
            .chain()
            .set_up(node, matches!(action, NodeAction::Start | NodeAction::Restart | NodeAction::Resume))
        {
            return Err(ClusterError { subject: node.to_owned(), what: "there is no such node".to_owned() });
        }
        self.world.set(node, |state| {
            if matches!(action, NodeAction::Start | NodeAction::Restart) {
                state.starts += 1;
                state.starts_by_us += 1;
            }
            state.status = match action {
                NodeAction::Stop | NodeAction::Kill => NodeStatus::Stopped,
                NodeAction::Pause => NodeStatus::Paused,
                NodeAction::Start | NodeAction::Restart | NodeAction::Resume => NodeStatus::Running,
            };
        });
        Ok(())
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        let log = self.world.chain().log(node);
        let end = log.len() as u64;
        let text = match part {
            LogPart::From(begin) => log.get(begin as usize..).unwrap_or_default().to_owned(),
            LogPart::Last(lines) => {
                let skipped = log.lines().count().saturating_sub(lines);
                log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
            }
        };
        Ok(Log { text, end })
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        self.ticker.abort();
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

/// The node program of fake clusters.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakeProgram;

#[derive(serde::Serialize, serde::Deserialize)]
struct Settings {
    slot: Duration,
    active_slot_coeff: f64,
    security_param: u32,
}

impl NodeProgram for FakeProgram {
    fn name(&self) -> &str {
        "fake"
    }

    fn identity(&self) -> String {
        "1".to_owned()
    }

    fn plan(&self, node: &NodePlanning<'_>) -> Result<PlannedNode, Problem> {
        let planned = &node.topology.nodes()[node.index];
        let consensus = node.topology.consensus();
        let settings = Settings {
            slot: consensus.slot,
            active_slot_coeff: consensus.active_slot_coeff,
            security_param: consensus.security_param,
        };
        Ok(PlannedNode {
            name: planned.name.clone(),
            role: planned.role,
            executable: Executable { program: "fake".to_owned(), path: None },
            args: Vec::new(),
            env: BTreeMap::new(),
            files: vec![crate::plan::PlannedFile {
                path: "settings.json".into(),
                text: serde_json::to_string(&settings).expect("plain data becomes JSON"),
            }],
            ports: vec![PlannedPort { name: "http".to_owned(), protocol: Protocol::Tcp, number: 18080 }],
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
