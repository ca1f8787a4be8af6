//! The contract with a backend: a [`Deployer`] turns a [`Plan`] into a [`Cluster`], and a cluster can be
//! looked at, controlled and torn down.
//!
//! Implementors write plain `async fn`. Each numbered promise of the two traits has a test of that number in
//! `tests/conformance`, which runs on every backend.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, FailureClass, RunFailed};
use crate::faults::{LinkState, NetworkFault};
use crate::node::{HttpTransport, Transport};
use crate::plan::{Binding, Bindings, Plan, PlannedNode, PlannedPort, Protocol};
use crate::report::Report;
use crate::runner::Runner;
use crate::scenario::Scenario;
use crate::topology::Role;

mod erased;
pub use erased::{AnyCluster, Backend};
pub(crate) use erased::{BoxFuture, DynCluster, DynDeployer};

/// Turns plans into clusters.
///
/// 1. `available` touches nothing and answers within two seconds.
/// 2. `provision` starts the nodes beside each other and returns a cluster whose every node was started,
///    but for those that are planned [late](crate::plan::PlannedNode::late). It does not wait until they
///    answer: that is the runner's part, and the same on every backend.
/// 3. When `provision` fails, nothing it created remains. When its future is dropped, at whatever moment,
///    nothing remains ten seconds later.
/// 4. Any number of clusters live beside each other, also of one plan, and do not notice.
/// 5. Nothing a deployer creates outlives the process that owns it by more than ten seconds, however that
///    process ends.
/// 6. `sweep` removes what has no living owner, and nothing else.
/// 7. `capabilities` are true: what they name works, and what they lack is refused.
/// 8. `identity` is the same as long as the same would be run, and another when it would not.
pub trait Deployer: Send + Sync + 'static {
    /// What a plan becomes.
    type Cluster: Cluster;

    /// The name for people, in case names and settings: `local`.
    fn name(&self) -> &str;

    /// What scenarios may ask of this backend's clusters; by default nothing but to run.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// What its clusters depend on besides their plans, such as the environment's settings: programs in which
    /// it differs share no clusters. By default nothing.
    fn settings(&self) -> String {
        String::new()
    }

    /// Whether its clusters live in the memory of the process that makes them, so that no other can reach them. By
    /// default they do not, and are kept by a process of their own for all that use them.
    fn in_memory(&self) -> bool {
        false
    }

    /// Whether this machine can run clusters of this backend at all; by default any can.
    ///
    /// # Errors
    ///
    /// Says what is missing and how to get it.
    fn available(&self) -> impl Future<Output = Result<(), Unavailable>> + Send {
        async { Ok(()) }
    }

    /// What the nodes of a plan would run, by its content: another text as soon as a program or an image is
    /// built anew. By default nothing is known of it.
    ///
    /// # Errors
    ///
    /// What is not there to be run, as [`provision`](Self::provision) would say.
    fn identity(&self, plan: &Plan) -> impl Future<Output = Result<String, DeployError>> + Send {
        let _ = plan;
        async { Ok(String::new()) }
    }

    /// Makes the cluster of a plan.
    ///
    /// # Errors
    ///
    /// Names the node or resource, with what to do.
    fn provision(
        &self,
        plan: &Plan,
        place: &Placement,
    ) -> impl Future<Output = Result<Self::Cluster, DeployError>> + Send;

    /// Removes what earlier owners that are no longer alive left behind, and says what that was; by default
    /// there is nothing that could be left.
    ///
    /// # Errors
    ///
    /// What could not be removed.
    fn sweep(&self) -> impl Future<Output = Result<Vec<String>, DeployError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Deploys the cluster of a scenario and waits until it is ready to be used. Says on stderr which seed it has
    /// and where its files are.
    ///
    /// The cluster lives until [`Runner::teardown`], or until the runner is dropped. It has no part in
    /// `SCENARIO_MAX_NODES`: whoever has one cluster and makes another would wait for himself.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram};
    /// # use logos_scenario_runtime::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
    /// # logos_scenario_runtime::fake::in_no_time(async {
    /// # let scenario = ScenarioBuilder::with_topology(Topology::two_validators())
    /// #     .with_program(FakeProgram)
    /// #     .expect_consensus_liveness()
    /// #     .with_run_duration(Duration::from_secs(60))
    /// #     .build()?;
    /// let runner = FakeDeployer::default().deploy(&scenario).await?;
    /// let outcome = runner.run(&scenario).await;
    /// runner.teardown().await?;
    /// println!("{}", outcome?);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// All that kept the cluster from becoming ready, as infrastructure failures. Nothing remains then.
    fn deploy(&self, scenario: &Scenario) -> impl Future<Output = Result<Runner, RunFailed>> + Send
    where
        Self: Sized,
    {
        Runner::deploy(self, scenario)
    }

    /// Deploys a scenario, runs it and tears it down.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram};
    /// # use logos_scenario_runtime::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
    /// # logos_scenario_runtime::fake::in_no_time(async {
    /// # let scenario = ScenarioBuilder::with_topology(Topology::two_validators())
    /// #     .with_program(FakeProgram)
    /// #     .expect_consensus_liveness()
    /// #     .with_run_duration(Duration::from_secs(60))
    /// #     .build()?;
    /// println!("{}", FakeDeployer::default().run(&scenario).await?);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// Every expectation that does not hold, and whatever kept the run from going its way.
    fn run(&self, scenario: &Scenario) -> impl Future<Output = Result<Report, RunFailed>> + Send
    where
        Self: Sized,
    {
        async move {
            let runner = self.deploy(scenario).await?;
            let outcome = runner.run(scenario).await;
            runner.teardown().await?;
            outcome
        }
    }
}

/// The running nodes of one plan.
///
/// 1. `description` names the plan's nodes in the plan's order, each with an address of its own for every
///    TCP port, and a running node can be reached there from this process.
/// 2. `states` answers at once if there is something newer, else as soon as there is. Versions grow with
///    every change. A node's exit is told within a second, with its cause, whoever caused it.
/// 3. `control` returns when its effect was observed: a stopped or killed node is gone, a started one
///    runs, a paused one answers nothing until it is resumed, and then it does. An isolated node answers
///    this process and loses its peers, until it rejoins them.
/// 4. Data survives stop, kill, start and restart.
/// 5. What cannot be done changes nothing, and the error says why: the node's state, or the nodes there are.
/// 6. A node's log can be read whether it lives or not, from its first start on and over all further ones;
///    who goes on where the last part ended misses nothing. Before the first start it is empty.
/// 7. `teardown` can be repeated, by several at once. When it returns `Ok`, nothing of the cluster is left
///    but its logs and configurations, and nothing can be started any more.
/// 8. A cluster that is dropped without it ends its nodes all the same, within ten seconds.
/// 9. Every argument and result is plain data that survives JSON, since a cluster may live in another
///    process than its users.
/// 10. `usage` tells what a running node uses: memory that it holds, and processor time that only grows until the
///     node is started anew. Of a node that does not run it tells nothing.
/// 11. `disturb` shapes the links of a [relayed](Plan::relayed) plan as the given faults say, and all others not at
///     all; when it returns, what is sent from then on is treated so. Nodes that are cut off answer this process all
///     the same. Nothing leads around a link, and `links` tells what passed each since it was shaped last.
/// 12. `replan` lets a node be what it is told from its next start on, with the data it has, whatever that changes of
///     its files, arguments, environment, program or image. Until then it goes on as it is; `states` names it from then
///     on. What could not be started is refused and changes nothing.
pub trait Cluster: Send + Sync + 'static {
    /// What the cluster is made of.
    fn description(&self) -> &ClusterDescription;

    /// The states of all nodes, at once if their version is above `newer_than`, else when it is.
    fn states(&self, newer_than: u64) -> impl Future<Output = Result<States, ClusterError>> + Send;

    /// Does something to one node; by default that is refused, as befits a backend without the capability.
    fn control(
        &self,
        node: &str,
        action: NodeAction,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send {
        let what = format!("cannot be told to {action}: this backend controls no nodes");
        let refused = ClusterError { subject: node.to_owned(), what };
        async { Err(refused) }
    }

    /// Plans a node anew, to be started so from its next start on; its name, role and ports are those that it had. By
    /// default that is refused, as befits a backend without the capability.
    fn replan(&self, node: PlannedNode) -> impl Future<Output = Result<(), ClusterError>> + Send {
        let what =
            "cannot be planned anew: this backend starts nodes only as they were planned first".to_owned();
        let refused = ClusterError { subject: node.name, what };
        async { Err(refused) }
    }

    /// Lets these network faults be in force, and no others: none heals all. By default that is refused, as befits a
    /// backend without the capability.
    fn disturb(&self, faults: Vec<NetworkFault>) -> impl Future<Output = Result<(), ClusterError>> + Send {
        let _ = faults;
        async { Err(ClusterError::no_relay()) }
    }

    /// What is seen of every link, in both directions; by default there is none to be seen.
    fn links(&self) -> impl Future<Output = Result<Vec<LinkState>, ClusterError>> + Send {
        async { Err(ClusterError::no_relay()) }
    }

    /// Reads a part of a node's log: stdout and stderr, in the order in which they were written.
    fn logs(&self, node: &str, part: LogPart) -> impl Future<Output = Result<Log, ClusterError>> + Send;

    /// What a node's process uses of the machine; `None` where it does not run. By default that is refused, as befits
    /// a backend without the capability.
    fn usage(&self, node: &str) -> impl Future<Output = Result<Option<Usage>, ClusterError>> + Send {
        let what = "is not measured: this backend cannot tell what its nodes use".to_owned();
        let refused = ClusterError { subject: node.to_owned(), what };
        async { Err(refused) }
    }

    /// Ends all nodes and removes everything but their logs.
    fn teardown(&self) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// How this process's clients reach one of the addresses in the description: over HTTP, unless the
    /// cluster lives in memory.
    fn connect(&self, address: &str) -> Arc<dyn Transport> {
        Arc::new(HttpTransport::new(format!("http://{address}")))
    }
}

/// What scenarios may ask of a backend's clusters.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// use logos_scenario::deployer::Capabilities;
///
/// let able = Capabilities { node_control: true, ..Capabilities::default() };
/// let needed = Capabilities { node_control: true, pause: true, ..Capabilities::default() };
/// assert_eq!(able.lacking(&needed), ["pause"]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Nodes can be stopped, killed, started and restarted.
    pub node_control: bool,
    /// Nodes can be paused and resumed.
    pub pause: bool,
    /// Nodes can be isolated from the others and rejoin them.
    pub isolate: bool,
    /// Links between nodes can be cut.
    pub network_faults: bool,
    /// What nodes use of the machine can be told.
    pub usage: bool,
    /// Links between nodes can be slow, narrow, or lose what they carry.
    pub shaping: bool,
    /// Nodes can be started otherwise than they were planned first.
    pub replan: bool,
}

impl Capabilities {
    /// What either has.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            node_control: self.node_control || other.node_control,
            pause: self.pause || other.pause,
            isolate: self.isolate || other.isolate,
            network_faults: self.network_faults || other.network_faults,
            usage: self.usage || other.usage,
            shaping: self.shaping || other.shaping,
            replan: self.replan || other.replan,
        }
    }

    /// The names of what `needed` asks for and these lack.
    #[must_use]
    pub fn lacking(&self, needed: &Self) -> Vec<&'static str> {
        [
            ("node_control", needed.node_control, self.node_control),
            ("pause", needed.pause, self.pause),
            ("isolate", needed.isolate, self.isolate),
            ("network_faults", needed.network_faults, self.network_faults),
            ("usage", needed.usage, self.usage),
            ("shaping", needed.shaping, self.shaping),
            ("replan", needed.replan, self.replan),
        ]
        .into_iter()
        .filter_map(|(name, needed, given)| (needed && !given).then_some(name))
        .collect()
    }
}

/// Where a cluster keeps its files, and what everything it creates is labelled with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Exists, and is this cluster's own. A node's log is `<name>.log` in it.
    pub directory: PathBuf,
    /// Labels, among them `invocation`.
    pub labels: BTreeMap<String, String>,
}

impl Placement {
    /// The file in a cluster's directory that names what others had left, a line each.
    pub const SWEPT: &str = "swept.txt";

    /// Notes what was [swept](Deployer::sweep) before this cluster was made, for the page of its invocation.
    pub fn swept(&self, removed: &[String]) {
        if removed.is_empty() {
            return;
        }
        let lines: String = removed.iter().map(|cluster| format!("{cluster}\n")).collect();
        if let Err(error) = std::fs::write(self.directory.join(Self::SWEPT), lines) {
            tracing::warn!("{} cannot say what was swept: {error}", self.directory.display());
        }
    }
}

/// What a cluster is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterDescription {
    /// When slot 0 of the chain began.
    pub start_time: SystemTime,
    /// A moment and the slot that ran then, in place of `start_time` where nobody told that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_slot: Option<(SystemTime, u64)>,
    /// The nodes, in the plan's order.
    pub nodes: Vec<NodeEndpoints>,
}

impl ClusterDescription {
    /// Describes a cluster whose nodes can be reached where they are bound; `log` says where a node's is.
    #[must_use]
    pub fn new(plan: &Plan, bindings: &Bindings, log: impl Fn(&PlannedNode) -> PathBuf) -> Self {
        let endpoints = |node: &PlannedNode| {
            let Binding { control, ports, .. } = &bindings.nodes[&node.name];
            let tcp = node.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
            let address =
                |port: &PlannedPort| (port.name.clone(), format!("{control}:{}", ports[&port.name]));
            let (name, role, addresses) = (node.name.clone(), node.role, tcp.map(address).collect());
            NodeEndpoints { name, role, addresses, log: log(node).display().to_string() }
        };
        Self {
            start_time: bindings.start_time,
            seen_slot: None,
            nodes: plan.nodes.iter().map(endpoints).collect(),
        }
    }
}

/// Where one node can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEndpoints {
    /// The name in the topology.
    pub name: String,
    /// What the node does.
    pub role: Role,
    /// `host:port` of each planned TCP port that this process can connect to, by the port's name.
    pub addresses: BTreeMap<String, String>,
    /// Where a person finds the node's log.
    pub log: String,
}

/// The states of all nodes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct States {
    /// Grows with every change; never 0.
    pub version: u64,
    /// In the plan's order.
    pub nodes: Vec<NodeState>,
    /// What the cluster has lost besides nodes, and cannot go on without: its relay, and how that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// Nodes that were [planned anew](Cluster::replan) since the cluster was made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub replanned: BTreeSet<String>,
}

/// One node's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// The name in the topology.
    pub name: String,
    /// What the node is doing.
    pub status: NodeStatus,
    /// How often it was started, by anyone. Above `starts_by_us` somebody else did.
    pub starts: u32,
    /// How often it was started by the cluster's owner: once, unless it is late, and once per start or
    /// restart.
    pub starts_by_us: u32,
}

/// What a node is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeStatus {
    /// Its process runs.
    Running,
    /// Paused by [`NodeAction::Pause`].
    Paused,
    /// Not running by our own doing: ended by [`NodeAction::Stop`] or [`NodeAction::Kill`], or planned
    /// late and not started yet.
    Stopped,
    /// Ended by itself or by somebody else, in the way the text says (`exit code 101`, `signal 9 (SIGKILL)`).
    Exited(String),
}

impl fmt::Display for NodeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Paused => f.write_str("paused"),
            Self::Stopped => f.write_str("stopped"),
            Self::Exited(how) => write!(f, "ended by itself with {how}"),
        }
    }
}

/// What a node's process uses of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of memory that it holds.
    pub memory: u64,
    /// Processor time that it had since it was started, of all cores together.
    pub processor: Duration,
}

/// Something that can be done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeAction {
    /// Ask it to end; insist after five seconds.
    Stop,
    /// End it at once.
    Kill,
    /// Start it with the data it has: none, if it is late and was never started.
    Start,
    /// Stop, then start.
    Restart,
    /// Let it do nothing, without ending it.
    Pause,
    /// Let a paused node go on.
    Resume,
    /// Cut it off from all other nodes; its HTTP still answers.
    Isolate,
    /// Let an isolated node reach the others again, at the address it had.
    Rejoin,
}

impl NodeAction {
    /// Whether a node with this status can be told to do this. Restarting is always possible.
    ///
    /// # Errors
    ///
    /// Names node, action and status, in the words that every backend uses.
    pub fn allowed(self, node: &str, status: &NodeStatus) -> Result<(), ClusterError> {
        let runs = matches!(status, NodeStatus::Running | NodeStatus::Paused);
        let allowed = match self {
            Self::Stop | Self::Kill => runs,
            Self::Start => !runs,
            Self::Restart => true,
            Self::Pause => *status == NodeStatus::Running,
            Self::Resume => *status == NodeStatus::Paused,
            Self::Isolate => runs,
            // Whether it is isolated is for the backend to say.
            Self::Rejoin => true,
        };
        if allowed {
            return Ok(());
        }
        Err(ClusterError {
            subject: node.to_owned(),
            what: format!("cannot be told to {self}: it is {status}"),
        })
    }
}

impl fmt::Display for NodeAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Kill => "die",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Isolate => "leave its peers",
            Self::Rejoin => "rejoin its peers",
        })
    }
}

/// Which part of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogPart {
    /// From this many bytes after the beginning to the end.
    From(u64),
    /// This many lines at the end.
    Last(usize),
}

/// A part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The text; what is not UTF-8 is replaced.
    pub text: String,
    /// Bytes from the log's beginning to the text's end: where to go on.
    pub end: u64,
}

impl Log {
    /// A part of a log that is at hand as a whole. A character that is not written whole yet is left for
    /// the next part.
    #[must_use]
    pub fn part(whole: &[u8], part: LogPart) -> Self {
        let begin = match part {
            LogPart::From(begin) => usize::try_from(begin).unwrap_or(usize::MAX).min(whole.len()),
            LogPart::Last(_) => 0,
        };
        let mut bytes = &whole[begin..];
        if let Err(error) = std::str::from_utf8(bytes)
            && error.error_len().is_none()
        {
            bytes = &bytes[..error.valid_up_to()];
        }
        let end = (begin + bytes.len()) as u64;
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        if let LogPart::Last(count) = part {
            let skipped = text.lines().count().saturating_sub(count);
            text = text.lines().skip(skipped).collect::<Vec<_>>().join("\n");
        }
        Self { text, end }
    }
}

/// Why a backend cannot be used on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{missing}; {try_next}")]
pub struct Unavailable {
    /// What is missing.
    pub missing: String,
    /// What to do about it.
    pub try_next: String,
}

/// A cluster that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployError {
    /// The node or resource.
    pub subject: String,
    /// What happened to it.
    pub what: String,
    /// What to try.
    pub try_next: String,
    /// Last lines of the node's log, if it has one.
    pub log: Option<String>,
}

impl DeployError {
    /// Says what happened to which node or resource, and what to try.
    pub fn new(subject: impl Into<String>, what: impl fmt::Display, try_next: impl Into<String>) -> Self {
        Self { subject: subject.into(), what: what.to_string(), try_next: try_next.into(), log: None }
    }
}

impl fmt::Display for DeployError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.subject, self.what, self.try_next)?;
        self.log.iter().try_for_each(|log| write!(f, "\nlast lines of its log:\n{log}"))
    }
}

impl std::error::Error for DeployError {}

impl From<DeployError> for ClusterError {
    /// What could not be deployed where a cluster is there already.
    fn from(DeployError { subject, what, try_next, .. }: DeployError) -> Self {
        Self { subject, what: format!("{what}; {try_next}") }
    }
}

impl From<DeployError> for Failure {
    fn from(error: DeployError) -> Self {
        let failure = Self::new(FailureClass::Infrastructure, "deploy")
            .expected(format!("{} to come up", error.subject))
            .seen(format!("{}: {}", error.subject, error.what))
            .try_next(error.try_next);
        match error.log {
            Some(log) => failure.seen(format!("last lines of its log:\n{log}")),
            None => failure,
        }
    }
}

impl ClusterError {
    /// No node has this name; there are these.
    pub fn no_such_node<'a>(name: &str, there_are: impl IntoIterator<Item = &'a str>) -> Self {
        let names = Vec::from_iter(there_are).join(", ");
        Self { subject: name.to_owned(), what: format!("there is no such node; there are {names}") }
    }

    /// The cluster was torn down.
    #[must_use]
    pub fn gone() -> Self {
        Self { subject: "cluster".to_owned(), what: "is gone".to_owned() }
    }

    /// The links between nodes are their own.
    #[must_use]
    pub fn no_relay() -> Self {
        Self {
            subject: "cluster".to_owned(),
            what: "its links lead through no relay, since it was planned without faults".to_owned(),
        }
    }
}

/// Something a cluster could not do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{subject}: {what}")]
pub struct ClusterError {
    /// The node, or `cluster`.
    pub subject: String,
    /// What was wrong.
    pub what: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &[u8], part: LogPart) -> (String, u64) {
        let Log { text, end } = Log::part(text, part);
        (text, end)
    }

    #[test]
    fn parts_of_a_log_go_on_where_the_last_ended() {
        assert_eq!(part(b"one\ntwo\n", LogPart::From(0)), ("one\ntwo\n".to_owned(), 8));
        assert_eq!(part(b"one\ntwo\n", LogPart::From(4)), ("two\n".to_owned(), 8));
        assert_eq!(part(b"one\ntwo\nthree", LogPart::Last(2)), ("two\nthree".to_owned(), 13));
        assert_eq!(part(b"one", LogPart::Last(5)), ("one".to_owned(), 3));
    }

    #[test]
    fn half_a_character_is_left_for_the_next_part() {
        let text = "blöck".as_bytes();
        assert_eq!(part(&text[..3], LogPart::From(0)), ("bl".to_owned(), 2));
        assert_eq!(part(text, LogPart::From(2)), ("öck".to_owned(), 6));
        assert_eq!(part(b"a\xffb", LogPart::From(0)).0, "a\u{fffd}b");
    }
}
