//! Which nodes should exist, as data: how many of each [`Role`], how they dial each other, and the
//! consensus they agree on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::Problem;

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

    /// How many nodes are connected to node `index` in a cluster of `nodes`, counting both directions.
    #[must_use]
    pub fn degree(self, index: usize, nodes: usize) -> usize {
        let dialled_by = (index + 1..nodes).filter(|&other| self.dials(other).contains(&index)).count();
        self.dials(index).len() + dialled_by
    }
}

/// The consensus all nodes agree on.
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
}

/// Stake of every node unless it is given another.
pub const DEFAULT_STAKE: u64 = 1_000;

/// Which nodes should exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    nodes: Vec<Node>,
    layout: Layout,
    consensus: Consensus,
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

    /// Who dials whom.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The consensus all nodes agree on.
    #[must_use]
    pub fn consensus(&self) -> &Consensus {
        &self.consensus
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
/// # use logos_scenario_runtime::Topology;
/// let topology = Topology::with_node_counts(3, 2).network_full();
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
        if problems.is_empty() {
            Ok(Topology { nodes, layout: self.layout, consensus: self.consensus.clone() })
        } else {
            Err(problems)
        }
    }
}

impl Node {
    fn new(role: Role, index: usize) -> Self {
        Self {
            name: format!("{role}-{index}"),
            role,
            stake: DEFAULT_STAKE,
            config: Vec::new(),
            env: Vec::new(),
        }
    }
}

/// What one node has of its own, see [`TopologyBuilder::with_node`].
#[derive(Clone, Debug, Default)]
pub struct NodeOverrides {
    stake: Option<u64>,
    config: Vec<(String, serde_json::Value)>,
    env: Vec<(String, String)>,
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

    /// Sets the stake of the node's leader note; 1,000 by default.
    #[must_use]
    pub fn stake(mut self, stake: u64) -> Self {
        self.stake = Some(stake);
        self
    }

    fn apply(&self, node: &mut Node) {
        node.stake = self.stake.unwrap_or(node.stake);
        node.config.extend(self.config.iter().cloned());
        node.env.extend(self.env.iter().cloned());
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

    #[test]
    fn degrees_count_both_directions() {
        assert_eq!((0..4).map(|i| Layout::Star.degree(i, 4)).collect::<Vec<_>>(), [3, 1, 1, 1]);
        assert_eq!((0..4).map(|i| Layout::Chain.degree(i, 4)).collect::<Vec<_>>(), [1, 2, 2, 1]);
        assert_eq!((0..4).map(|i| Layout::Full.degree(i, 4)).collect::<Vec<_>>(), [3, 3, 3, 3]);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let problems = TopologyBuilder::default()
            .validators(0)
            .slot(Duration::ZERO)
            .active_slot_coeff(1.5)
            .security_param(0)
            .with_node("validator-7", |node| node.stake(1))
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
            ]
        );
    }
}
