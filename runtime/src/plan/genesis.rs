//! What a chain starts from: who may lead with which stake, and the funded accounts. Everything derives
//! from the [`ClusterKey`], so that clusters of one key are alike.

use blake2::{Blake2b, Digest, digest::consts::U32};
use serde::{Deserialize, Serialize};

use crate::node::NodeProgram;
use crate::topology::Topology;

/// Says whether two scenarios may use the same cluster: a hash of backend, topology, consensus, accounts
/// and node program. Never of a test's name, never of a seed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterKey(#[serde(with = "hex")] [u8; 32]);

impl ClusterKey {
    pub(crate) fn new(
        backend: &str,
        topology: &Topology,
        accounts: &[u64],
        program: &dyn NodeProgram,
    ) -> Self {
        let parts = (backend, topology, accounts, program.name(), program.identity());
        let text = serde_json::to_vec(&parts).expect("plain data becomes JSON");
        Self(Blake2b::<U32>::digest(text).into())
    }

    /// The key of a cluster that runs what this [identity](crate::Deployer::identity) tells.
    pub(crate) fn running(&self, identity: &str) -> Self {
        Self(self.derive(&format!("identity {identity}")))
    }

    /// The whole key in hex.
    pub(crate) fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// 32 bytes that are this cluster's own for the given purpose.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        Blake2b::<U32>::new().chain_update(self.0).chain_update(purpose).finalize().into()
    }
}

impl std::fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0[..6]))
    }
}

impl std::fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClusterKey({self})")
    }
}

/// What a chain starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// One per node, in the topology's order.
    pub leaders: Vec<Leader>,
    /// Value of each wallet account, in order of their numbers.
    pub accounts: Vec<u64>,
}

/// A node's part in genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Name of the node.
    pub node: String,
    /// Seeds all keys of the node. No other node has it.
    #[serde(with = "hex")]
    pub seed: [u8; 32],
    /// Value of its leader note.
    pub stake: u64,
}

impl Genesis {
    /// Whether it derives from this key.
    pub(crate) fn is_of(&self, key: &ClusterKey) -> bool {
        self.leaders.iter().all(|leader| leader.seed == key.derive(&format!("node {}", leader.node)))
    }

    pub(crate) fn new(key: &ClusterKey, topology: &Topology, accounts: &[u64]) -> Self {
        let leader = |node: &crate::topology::Node| Leader {
            node: node.name.clone(),
            seed: key.derive(&format!("node {}", node.name)),
            stake: node.stake,
        };
        Self { leaders: topology.nodes().iter().map(leader).collect(), accounts: accounts.to_vec() }
    }
}
