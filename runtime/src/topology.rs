//! Which nodes should exist, as data: how many of each [`Role`], how they dial each other, and the
//! consensus they agree on.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::Problem;
use crate::faults::Link;

/// What a node does. A value, never a Rust type per role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes part in consensus and makes blocks.
    Validator,
    /// A validator that also disperses blobs.
    Executor,
}

impl Role {
    /// The role in lower case, as it stands in node names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::Executor => "executor",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who dials whom at start-up. Nodes are counted validators first, then executors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Every node dials node 0.
    #[default]
    Star,
    /// Node *i* dials node *i − 1*.
    Chain,
    /// Node *i* dials every node *j < i*.
    Full,
}

impl Layout {
    /// The nodes that node `index` dials.
    #[must_use]
    pub fn dials(self, index: usize) -> Vec<usize> {
        match self {
            _ if index == 0 => Vec::new(),
            Self::Star => vec![0],
            Self::Chain => vec![index - 1],
            Self::Full => (0..index).collect(),
        }
    }
}

/// The consensus all nodes agree on.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// use logos_scenario::Consensus;
///
/// let consensus = Consensus { slot: Duration::from_secs(1), active_slot_coeff: 0.5, security_param: 30 };
/// assert_eq!(consensus.block_interval(), Duration::from_secs(2));
/// assert_eq!(consensus.expected_blocks(Duration::from_secs(60)), 30.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consensus {
    /// How long a slot lasts.
    pub slot: Duration,
    /// The probability `f` that a slot has at least one leader, in (0, 1].
    pub active_slot_coeff: f64,
    /// The depth `k`, in blocks, at which a block is final.
    pub security_param: u32,
}

impl Consensus {
    /// Slots of 2 s, 90 % of them active, final after 10 blocks.
    pub const DEFAULT: Self =
        Self { slot: Duration::from_secs(2), active_slot_coeff: 0.9, security_param: 10 };

    /// Mean time between blocks without message delay: `slot / f`.
    #[must_use]
    pub fn block_interval(&self) -> Duration {
        self.slot.div_f64(self.active_slot_coeff)
    }

    /// Mean number of blocks in `window` without message delay: `window / slot * f`.
    #[must_use]
    pub fn expected_blocks(&self, window: Duration) -> f64 {
        window.as_secs_f64() / self.slot.as_secs_f64() * self.active_slot_coeff
    }
}

impl Default for Consensus {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One node that should exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `validator-0`, `executor-1`, …: the role and the number among the nodes of that role.
    pub name: String,
    /// What the node does.
    pub role: Role,
    /// Stake of the node's leader note.
    pub stake: u64,
    /// Settings laid over the node's configuration, by dotted path (`faults.panic_at`), as JSON values.
    pub config: Vec<(String, serde_json::Value)>,
    /// Environment variables of this node alone.
    pub env: Vec<(String, String)>,
    /// What this node alone executes, where nodes are processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<PathBuf>,
    /// What this node alone runs, where nodes are containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Whether the node is not started with the cluster.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// Whom the node dials in place of those that the layout gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dials: Option<Vec<String>>,
}

/// Stake of every node unless it is given another.
pub const DEFAULT_STAKE: u64 = 1_000;

/// Which nodes should exist.
///
/// ```
/// # use logos_scenario_runtime::fake;
/// # fake::in_no_time(async {
/// # let (runner, scenario) = fake::example().await?;
/// # let driving = runner.start(&scenario).await?;
/// # let cx = driving.context();
/// let topology = cx.topology();
/// assert_eq!(topology.nodes()[2].name, "executor-0");
/// // In a star all dial node 0.
/// assert_eq!((topology.dials(1), topology.peers_at_start(0)), (vec![0], 2));
/// assert_eq!(topology.stake_at_start(), 1.0);
/// # driving.finish().await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    nodes: Vec<Node>,
    layout: Layout,
    consensus: Consensus,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    relayed: bool,
}

impl Topology {
    /// One validator.
    #[must_use]
    pub fn single() -> TopologyBuilder {
        Self::with_node_counts(1, 0)
    }

    /// Two validators.
    #[must_use]
    pub fn two_validators() -> TopologyBuilder {
        Self::with_node_counts(2, 0)
    }

    /// One validator and one executor.
    #[must_use]
    pub fn validator_and_executor() -> TopologyBuilder {
        Self::with_node_counts(1, 1)
    }

    /// A star of the given numbers of nodes.
    #[must_use]
    pub fn with_node_counts(validators: usize, executors: usize) -> TopologyBuilder {
        TopologyBuilder::default().validators(validators).executors(executors)
    }

    /// All nodes, validators first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Who dials whom, but for nodes that have [peers of their own](Node::dials).
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The nodes that node `index` dials: its own choice, or what its layout gives it.
    #[must_use]
    pub fn dials(&self, index: usize) -> Vec<usize> {
        dials(&self.nodes, self.layout, index)
    }

    /// Whether the links between nodes lead through a relay, so that they can be disturbed. Nodes must then learn no
    /// address but those that they are given.
    #[must_use]
    pub fn relayed(&self) -> bool {
        self.relayed
    }

    /// The same, with links through a relay.
    pub(crate) fn through_relay(mut self) -> Self {
        self.relayed = true;
        self
    }

    /// The same, with an environment variable for every node that has none of that name.
    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        for node in self.nodes.iter_mut().filter(|node| node.env.iter().all(|(other, _)| other != name)) {
            node.env.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Who sends to whom, in both directions of each connection.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        let name = |index: usize| self.nodes[index].name.as_str();
        let dialled = |index: usize| self.dials(index).into_iter().map(move |peer| (index, peer));
        let dialled = (0..self.nodes.len()).flat_map(dialled);
        let both = dialled.map(|(from, to)| Link::new(name(from), name(to)));
        both.flat_map(|link| [link.back(), link]).collect()
    }

    /// The consensus all nodes agree on.
    #[must_use]
    pub fn consensus(&self) -> &Consensus {
        &self.consensus
    }

    /// How many nodes are connected to node `index` as soon as the cluster runs, counting both directions:
    /// what it dials and is dialled by, but for [late](Node::late) nodes.
    #[must_use]
    pub fn peers_at_start(&self, index: usize) -> usize {
        let runs = |&node: &usize| !self.nodes[node].late;
        let dialled_by = (0..self.nodes.len()).filter(|&other| self.dials(other).contains(&index));
        self.dials(index).into_iter().chain(dialled_by).filter(runs).count()
    }

    /// The share of all stake that is online as soon as the cluster runs: what [late](Node::late) nodes do not
    /// have.
    #[must_use]
    pub fn stake_at_start(&self) -> f64 {
        let stake =
            |late: bool| self.nodes.iter().filter(|it| late || !it.late).map(|it| it.stake).sum::<u64>();
        stake(false) as f64 / stake(true).max(1) as f64
    }

    /// The same, but that one node has settings laid over those that it has, and that node's index.
    ///
    /// # Errors
    ///
    /// Everything that cannot be of a node whose cluster runs already.
    pub(crate) fn replanned(
        &self,
        name: &str,
        overrides: &NodeOverrides,
    ) -> Result<(Self, usize), Vec<Problem>> {
        let Some(index) = self.nodes.iter().position(|node| node.name == name) else {
            let names = self.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(vec![Problem::new(name, "there is no such node", format!("there are {names}"))]);
        };
        let mut problems = Vec::new();
        let mut decided = |part: &str, what: &str| {
            problems.push(Problem::new(
                format!("{name}.{part}"),
                format!("{what} when the cluster was planned"),
                format!("give it by `with_node(\"{name}\", ..)`, or leave it out"),
            ));
        };
        if overrides.stake.is_some() {
            decided("stake", "is in genesis, which was made");
        }
        if overrides.late {
            decided("late", "says whether the node starts with the cluster, which was decided");
        }
        let mut topology = self.clone();
        overrides.apply(&mut topology.nodes[index]);
        problems.extend(overrides.problem(name));
        problems.extend(undiallable(&topology.nodes, topology.layout, index));
        let leads_to = |peer: usize| self.dials(index).contains(&peer);
        if self.relayed
            && let Some(peer) = topology.dials(index).into_iter().find(|peer| !leads_to(*peer))
        {
            let what = format!("there is no link through the relay to {}", self.nodes[peer].name);
            let try_next = "dial those that it dials in the topology, or fewer";
            problems.push(Problem::new(format!("{name}.dials"), what, try_next));
        }
        if problems.is_empty() { Ok((topology, index)) } else { Err(problems) }
    }

    /// The number of nodes of a role.
    #[must_use]
    pub fn count(&self, role: Role) -> usize {
        self.nodes.iter().filter(|node| node.role == role).count()
    }
}

/// Describes a [`Topology`]; what it refuses is told by [`ScenarioBuilder::build`](crate::ScenarioBuilder::build).
///
/// ```
/// # use std::time::Duration;
/// # use logos_scenario_runtime as logos_scenario;
/// use logos_scenario::{ScenarioBuilder, Topology};
///
/// let topology = Topology::with_node_counts(3, 2)
///     .network_full()
///     .slot(Duration::from_secs(1))
///     .active_slot_coeff(0.5)
///     .security_param(30);
/// // The same, from nothing:
/// let builder = ScenarioBuilder::topology_with(|topology| {
///     topology.validators(3).executors(2).network_full().slot(Duration::from_secs(1))
/// });
/// ```
#[derive(Clone, Debug, Default)]
pub struct TopologyBuilder {
    validators: usize,
    executors: usize,
    layout: Layout,
    consensus: Consensus,
    overrides: Vec<(String, NodeOverrides)>,
}

impl TopologyBuilder {
    /// Sets the number of validators; at least one is needed.
    #[must_use]
    pub fn validators(mut self, count: usize) -> Self {
        self.validators = count;
        self
    }

    /// Sets the number of executors.
    #[must_use]
    pub fn executors(mut self, count: usize) -> Self {
        self.executors = count;
        self
    }

    /// Sets who dials whom.
    #[must_use]
    pub fn network(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Every node dials node 0. The default.
    #[must_use]
    pub fn network_star(self) -> Self {
        self.network(Layout::Star)
    }

    /// Node *i* dials node *i − 1*.
    #[must_use]
    pub fn network_chain(self) -> Self {
        self.network(Layout::Chain)
    }

    /// Node *i* dials every node *j < i*.
    #[must_use]
    pub fn network_full(self) -> Self {
        self.network(Layout::Full)
    }

    /// Sets how long a slot lasts; 2 s by default.
    #[must_use]
    pub fn slot(mut self, slot: Duration) -> Self {
        self.consensus.slot = slot;
        self
    }

    /// Sets the probability that a slot has a leader, in (0, 1]; 0.9 by default.
    #[must_use]
    pub fn active_slot_coeff(mut self, coefficient: f64) -> Self {
        self.consensus.active_slot_coeff = coefficient;
        self
    }

    /// Sets the depth in blocks at which a block is final; 10 by default.
    #[must_use]
    pub fn security_param(mut self, depth: u32) -> Self {
        self.consensus.security_param = depth;
        self
    }

    /// Gives one node settings of its own. Overrides of a node that does not exist are a build error.
    ///
    /// ```
    /// # use logos_scenario_runtime::Topology;
    /// let topology = Topology::two_validators()
    ///     .with_node("validator-1", |node| node.config("faults.panic_at", 5));
    /// ```
    #[must_use]
    pub fn with_node(
        mut self,
        name: impl Into<String>,
        with: impl FnOnce(NodeOverrides) -> NodeOverrides,
    ) -> Self {
        self.overrides.push((name.into(), with(NodeOverrides::default())));
        self
    }

    /// The topology, or everything that is wrong with it.
    pub(crate) fn build(&self) -> Result<Topology, Vec<Problem>> {
        let mut problems = Vec::new();
        if self.validators == 0 {
            problems.push(Problem::new(
                "topology.validators",
                "0, expected at least 1",
                "give `.validators(1)`",
            ));
        }
        let Consensus { slot, active_slot_coeff, security_param } = &self.consensus;
        if slot.is_zero() {
            problems.push(Problem::new("topology.slot", "zero, expected a positive duration", "try 2 s"));
        }
        if !(*active_slot_coeff > 0.0 && *active_slot_coeff <= 1.0) {
            problems.push(Problem::new(
                "topology.active_slot_coeff",
                format!("{active_slot_coeff}, expected a probability in (0, 1]"),
                "try 0.9",
            ));
        }
        if *security_param == 0 {
            problems.push(Problem::new("topology.security_param", "0, expected at least 1", "try 10"));
        }
        let mut nodes: Vec<Node> = [(Role::Validator, self.validators), (Role::Executor, self.executors)]
            .into_iter()
            .flat_map(|(role, count)| (0..count).map(move |index| Node::new(role, index)))
            .collect();
        for (name, overrides) in &self.overrides {
            match nodes.iter_mut().find(|node| node.name == *name) {
                Some(node) => overrides.apply(node),
                None => problems.push(Problem::new(
                    "topology.with_node",
                    format!("there is no node `{name}`"),
                    format!("nodes are validator-0 … and executor-0 …; this topology has {} validators and {} executors", self.validators, self.executors),
                )),
            }
        }
        problems.extend(self.overrides.iter().filter_map(|(name, node)| node.problem(name)));
        problems.extend((0..nodes.len()).filter_map(|index| undiallable(&nodes, self.layout, index)));
        problems.extend(stranded(&nodes, self.layout));
        if problems.is_empty() {
            Ok(Topology { nodes, layout: self.layout, consensus: self.consensus.clone(), relayed: false })
        } else {
            Err(problems)
        }
    }
}

/// The nodes that node `index` dials; names that nobody has are left out.
fn dials(nodes: &[Node], layout: Layout, index: usize) -> Vec<usize> {
    let Some(names) = &nodes[index].dials else { return layout.dials(index) };
    names.iter().filter_map(|name| nodes.iter().position(|node| node.name == *name)).collect()
}

/// What is wrong with whom a node chose to dial.
fn undiallable(nodes: &[Node], layout: Layout, index: usize) -> Option<Problem> {
    let Node { name, dials: Some(chosen), .. } = &nodes[index] else { return None };
    let wrong = |(place, peer): (usize, &String)| {
        let Some(other) = nodes.iter().position(|node| node.name == *peer) else {
            return Some(format!("there is no node `{peer}`"));
        };
        if other == index {
            return Some("a node cannot dial itself".to_owned());
        }
        if chosen[..place].contains(peer) {
            return Some(format!("`{peer}` is there twice"));
        }
        let is_dialled = dials(nodes, layout, other).contains(&index);
        is_dialled.then(|| format!("`{peer}` dials {name}, and only one side of a link may dial"))
    };
    let wrong = chosen.iter().enumerate().find_map(wrong)?;
    let place = format!("topology.with_node(\"{name}\").dials");
    Some(Problem::new(place, wrong, "name other nodes of the topology that do not dial this one"))
}

/// Nodes that start with the cluster and dial only such as do not: they would be alone for good.
fn stranded(nodes: &[Node], layout: Layout) -> Vec<Problem> {
    if !nodes.is_empty() && nodes.iter().all(|node| node.late) {
        let what = "every node is late, so that there is no cluster to join";
        return vec![Problem::new(
            "topology.with_node",
            what,
            "let at least one node start with the cluster",
        )];
    }
    let alone = |(index, node): (usize, &Node)| {
        let dials = dials(nodes, layout, index);
        let late: Vec<&str> =
            dials.iter().filter(|&&peer| nodes[peer].late).map(|&peer| nodes[peer].name.as_str()).collect();
        (!node.late && !dials.is_empty() && late.len() == dials.len()).then(|| {
            Problem::new(
                format!("topology.with_node(\"{}\").late", late[0]),
                format!(
                    "{} starts with the cluster and would dial nobody but {}",
                    node.name,
                    late.join(", ")
                ),
                "let a node be late that no other depends on, such as the last one",
            )
        })
    };
    nodes.iter().enumerate().filter_map(alone).collect()
}

impl Node {
    fn new(role: Role, index: usize) -> Self {
        Self {
            name: format!("{role}-{index}"),
            role,
            stake: DEFAULT_STAKE,
            config: Vec::new(),
            env: Vec::new(),
            binary: None,
            image: None,
            late: false,
            dials: None,
        }
    }
}

/// What one node has of its own, see [`TopologyBuilder::with_node`] and
/// [`NodeControl::restart_with`](crate::runner::NodeControl::restart_with).
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// use logos_scenario::Topology;
///
/// let topology = Topology::with_node_counts(4, 0)
///     .with_node("validator-1", |node| node.config("faults.panic_at", 5).env("RUST_LOG", "debug"))
///     // A cluster of mixed versions: a program where nodes are processes, an image where they are containers.
///     .with_node("validator-2", |node| node.binary("target/v2/devnode").image("node:v2").stake(10))
///     .with_node("validator-3", |node| node.late().dials(["validator-1", "validator-2"]));
/// ```
#[derive(Clone, Debug, Default)]
pub struct NodeOverrides {
    stake: Option<u64>,
    config: Vec<(String, serde_json::Value)>,
    env: Vec<(String, String)>,
    binary: Option<PathBuf>,
    image: Option<String>,
    late: bool,
    dials: Option<Vec<String>>,
}

impl NodeOverrides {
    /// Sets one value of the node's configuration by its dotted path, such as `faults.panic_at`.
    #[must_use]
    pub fn config(mut self, path: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.config.push((path.into(), value.into()));
        self
    }

    /// Sets one environment variable of the node.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// What is wrong with the overrides themselves.
    fn problem(&self, node: &str) -> Option<Problem> {
        let name = |(name, _): &&(String, String)| name.is_empty() || name.contains(['=', '\0']);
        let place = |part: &str| format!("topology.with_node(\"{node}\").{part}");
        if let Some((name, _)) = self.env.iter().find(name) {
            let what = format!("`{name}` cannot be the name of an environment variable");
            return Some(Problem::new(place("env"), what, "leave `=` and zero bytes out of it"));
        }
        let nothing = self.image.as_deref() == Some("");
        nothing.then(|| Problem::new(place("image"), "the name is empty", "name an image, such as `node:v2`"))
    }

    /// Sets the stake of the node's leader note; 1,000 by default.
    #[must_use]
    pub fn stake(mut self, stake: u64) -> Self {
        self.stake = Some(stake);
        self
    }

    /// Lets this node alone execute another program where nodes are processes: a cluster of mixed
    /// versions. It goes before `NOMOS_NODE_BIN` and the node program's own path.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Lets this node alone run another image where nodes are containers. It goes before
    /// `NOMOS_TESTNET_IMAGE`.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.image = Some(image.into());
        self
    }

    /// Plans the node without starting it: it joins when the test starts it with
    /// [`NodeControl::start`](crate::runner::NodeControl::start).
    ///
    /// Its stake counts from the first slot on, so that the chain grows more slowly until it joins; with
    /// `.stake(1)` it matters little. A node that starts with the cluster must dial one that does too,
    /// unless it dials none.
    #[must_use]
    pub fn late(mut self) -> Self {
        self.late = true;
        self
    }

    /// Chooses whom the node dials, in place of those that the layout gives it: nobody, where none is named.
    ///
    /// ```
    /// # use logos_scenario_runtime::Topology;
    /// let topology = Topology::with_node_counts(4, 0)
    ///     .with_node("validator-3", |node| node.late().dials(["validator-1", "validator-2"]));
    /// ```
    #[must_use]
    pub fn dials<S: Into<String>>(mut self, peers: impl IntoIterator<Item = S>) -> Self {
        self.dials = Some(peers.into_iter().map(Into::into).collect());
        self
    }

    fn apply(&self, node: &mut Node) {
        node.stake = self.stake.unwrap_or(node.stake);
        node.config.extend(self.config.iter().cloned());
        node.env.extend(self.env.iter().cloned());
        node.binary = self.binary.clone().or(node.binary.take());
        node.image = self.image.clone().or(node.image.take());
        node.late |= self.late;
        node.dials = self.dials.clone().or(node.dials.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_dial_backwards_only() {
        assert_eq!(Layout::Star.dials(3), [0]);
        assert_eq!(Layout::Chain.dials(3), [2]);
        assert_eq!(Layout::Full.dials(3), [0, 1, 2]);
        for layout in [Layout::Star, Layout::Chain, Layout::Full] {
            assert!(layout.dials(0).is_empty());
        }
    }

    fn peers_at_start(layout: Layout, late: &[&str]) -> Vec<usize> {
        let builder = Topology::with_node_counts(4, 0).network(layout);
        let builder =
            late.iter().fold(builder, |builder, name| builder.with_node(*name, NodeOverrides::late));
        let topology = builder.build().unwrap();
        (0..4).map(|node| topology.peers_at_start(node)).collect()
    }

    #[test]
    fn peers_are_counted_in_both_directions() {
        assert_eq!(peers_at_start(Layout::Star, &[]), [3, 1, 1, 1]);
        assert_eq!(peers_at_start(Layout::Chain, &[]), [1, 2, 2, 1]);
        assert_eq!(peers_at_start(Layout::Full, &[]), [3, 3, 3, 3]);
        assert_eq!(peers_at_start(Layout::Star, &["validator-3"]), [2, 1, 1, 1]);
        assert_eq!(peers_at_start(Layout::Full, &["validator-1", "validator-3"])[0], 1);
    }

    #[test]
    fn late_nodes_must_leave_a_cluster_behind() {
        let problems = |layout: Layout, late: &[&str]| {
            let builder = Topology::with_node_counts(2, 1).network(layout);
            let late = late.iter().fold(builder, |all, name| all.with_node(*name, NodeOverrides::late));
            late.build().err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(problems(Layout::Star, &["validator-1", "executor-0"]), [""; 0]);
        assert_eq!(problems(Layout::Full, &["validator-1"]), [""; 0]);
        assert_eq!(
            problems(Layout::Chain, &["validator-1"]),
            ["topology.with_node(\"validator-1\").late: executor-0 starts with the cluster and would dial \
              nobody but validator-1; let a node be late that no other depends on, such as the last one"]
        );
        assert_eq!(problems(Layout::Star, &["validator-0"]).len(), 2, "both others dial it");
        assert_eq!(problems(Layout::Star, &["validator-0", "validator-1", "executor-0"]).len(), 1);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let problems = TopologyBuilder::default()
            .validators(0)
            .slot(Duration::ZERO)
            .active_slot_coeff(1.5)
            .security_param(0)
            .with_node("validator-7", |node| node.stake(1).env("A=B", "").image(""))
            .build()
            .unwrap_err();
        let places: Vec<&str> = problems.iter().map(Problem::place).collect();
        assert_eq!(
            places,
            [
                "topology.validators",
                "topology.slot",
                "topology.active_slot_coeff",
                "topology.security_param",
                "topology.with_node",
                "topology.with_node(\"validator-7\").env",
            ]
        );
    }

    #[test]
    fn a_node_may_choose_whom_it_dials() {
        let topology = Topology::with_node_counts(4, 0)
            .with_node("validator-3", |node| node.dials(["validator-1", "validator-2"]));
        let topology = topology.build().unwrap();
        assert_eq!((topology.dials(2), topology.dials(3)), (vec![0], vec![1, 2]));
        let peers: Vec<_> = (0..4).map(|index| topology.peers_at_start(index)).collect();
        assert_eq!(peers, [2, 2, 2, 2]);
        assert_eq!(topology.links().len(), 8);
    }

    #[test]
    fn what_a_running_cluster_cannot_change_is_refused_at_once() {
        let topology = Topology::with_node_counts(3, 0).network_chain().build().unwrap();
        let told = |name: &str, topology: &Topology, with: fn(NodeOverrides) -> NodeOverrides| {
            let problems = topology.replanned(name, &with(NodeOverrides::default())).unwrap_err();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            told("validator-2", &topology, |node| node.stake(1).late().dials(["validator-2"]).env("", "1")),
            [
                "validator-2.stake: is in genesis, which was made when the cluster was planned; give it by \
                 `with_node(\"validator-2\", ..)`, or leave it out",
                "validator-2.late: says whether the node starts with the cluster, which was decided when the cluster was \
                 planned; give it by `with_node(\"validator-2\", ..)`, or leave it out",
                "topology.with_node(\"validator-2\").env: `` cannot be the name of an environment variable; leave `=` \
                 and zero bytes out of it",
                "topology.with_node(\"validator-2\").dials: a node cannot dial itself; name other nodes of the \
                 topology that do not dial this one",
            ]
        );
        assert_eq!(
            told("validator-7", &topology, |node| node),
            ["validator-7: there is no such node; there are validator-0, validator-1, validator-2"]
        );
        let dials = |node: NodeOverrides| node.dials(["validator-0"]);
        assert_eq!(
            told("validator-2", &topology.clone().through_relay(), dials),
            [
                "validator-2.dials: there is no link through the relay to validator-0; dial those that it dials in the \
              topology, or fewer"
            ]
        );
        let (changed, index) = topology.replanned("validator-2", &dials(NodeOverrides::default())).unwrap();
        assert_eq!((index, changed.dials(2), topology.dials(2)), (2, vec![0], vec![1]));
    }

    #[test]
    fn peers_that_cannot_be_dialled_are_told() {
        for (peers, told) in [
            (&["validator-7"][..], "there is no node `validator-7`"),
            (&["validator-0"], "a node cannot dial itself"),
            (&["validator-1"], "`validator-1` dials validator-0, and only one side of a link may dial"),
        ] {
            let topology = Topology::with_node_counts(3, 0)
                .with_node("validator-0", |node| node.dials(peers.iter().copied()));
            let problems = topology.build().unwrap_err();
            assert_eq!(problems[0].place(), "topology.with_node(\"validator-0\").dials");
            assert!(problems[0].to_string().contains(told), "{problems:?}");
        }
        let twice = Topology::with_node_counts(3, 0)
            .with_node("validator-2", |node| node.dials(["validator-1", "validator-1"]));
        assert!(twice.build().unwrap_err()[0].to_string().contains("`validator-1` is there twice"));
    }
}
