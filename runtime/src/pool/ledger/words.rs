//! What a ledger is told, what it answers, and what both are about.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::case::Sharing;
use crate::failure::Failure;
use crate::process::Process;

/// A connection, which has or wants one lease at most.
pub(crate) type Client = u64;
/// A cluster, by a number that is never given again.
pub(crate) type ClusterId = u64;

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// Key of the cluster.
    pub(crate) key: String,
    /// Who asks, for people: the case, and its process.
    pub(crate) case: String,
    pub(crate) pid: u32,
    pub(crate) sharing: Sharing,
    pub(crate) nodes: usize,
    /// Accounts in the cluster's genesis.
    pub(crate) accounts: usize,
    /// Accounts that the lease must have from the start.
    pub(crate) reserve: Option<usize>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A client asks for a lease.
    Attach { client: Client, wish: Wish },
    /// A lease wants so many more accounts.
    Draw { client: Client, count: usize },
    /// The cluster of a lease is to be looked at when that has ended.
    Keep { client: Client },
    /// A lease ends.
    Release { client: Client, passed: bool },
    /// A connection ended, with whatever it had.
    Gone { client: Client },
    /// A client says how many cases of its process will still use clusters of a key.
    Planned { client: Client, key: String, users: usize },
    /// A cluster to be made lacks room, which clusters elsewhere have as the text says, or has it now.
    LacksRoom { cluster: ClusterId, others: Option<String> },
    /// A cluster runs.
    Deployed { cluster: ClusterId },
    /// A cluster could not be made, and nothing is left of it.
    DeployFailed { cluster: ClusterId, failure: Failure },
    /// The gate found a cluster well, or not.
    Gated { cluster: ClusterId, found: Result<(), String> },
    /// Nothing is left of a cluster, but for what the text says.
    TornDown { cluster: ClusterId, left: Option<String> },
    /// Somebody elsewhere lacks room for nodes, or nobody does any more.
    RoomWanted(bool),
    /// A client is of an owner, which keeps the clusters that its clients use.
    Owned { client: Client, owner: Process, keeping: Keeping },
    /// An owner ended.
    OwnerGone { owner: Process },
    /// Time passed.
    Time,
}

/// How long an owner keeps a cluster that nobody uses; by default not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keeping {
    /// While the owner lives and nobody plans to use the cluster; `None` is for ever.
    pub(crate) grace: Option<Duration>,
    /// After the owner's end.
    pub(crate) linger: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { grace: Some(Duration::ZERO), linger: Duration::ZERO }
    }
}

impl Keeping {
    /// The more generous of both, where `None` is the most.
    pub(super) fn or(self, other: Self) -> Self {
        let grace = self.grace.zip(other.grace).map(|(one, other)| one.max(other));
        Self { grace, linger: self.linger.max(other.linger) }
    }
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Make a cluster by the plan that the client knows.
    Deploy {
        cluster: ClusterId,
        client: Client,
    },
    Grant {
        client: Client,
        grant: Grant,
    },
    Refuse {
        client: Client,
        failure: Failure,
    },
    /// Give accounts, or say how many are left.
    Drawn {
        client: Client,
        accounts: Result<Range<usize>, usize>,
    },
    /// See whether the cluster is well; thoroughly where somebody may have done things to its nodes.
    Gate {
        cluster: ClusterId,
        thorough: bool,
    },
    /// End the cluster, or its deployment.
    TearDown {
        cluster: ClusterId,
    },
    /// Tell the client what became of the cluster that it released.
    Released {
        client: Client,
        released: Released,
    },
    /// Nobody needs the host any more.
    Exit,
}

/// The right to use a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) cluster: ClusterId,
    /// No other lease of the cluster has it.
    pub(crate) number: u64,
    /// The accounts that were reserved.
    pub(crate) accounts: Range<usize>,
    /// Who used the cluster before, and who uses it now.
    pub(crate) others: Vec<String>,
    /// What became of the cluster of this key before.
    pub(crate) replaces: Option<Poison>,
    /// Why the cluster was made, for the first lease of it.
    pub(crate) made: Option<Reason>,
}

/// Why a cluster is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Reason {
    /// There was none of its key.
    First,
    /// Its case wants one that nobody else used.
    Fresh,
    /// The one before is used no more, after a scenario.
    Poisoned,
    /// The one before has too few accounts left.
    UsedUp,
    /// The one before was given up while nobody used it.
    GivenUp,
    /// The one before was used for long while others lacked its room.
    MadeRoom,
    /// The one before could not be made.
    Failed,
    /// A keeper ended before the cluster was there.
    KeeperLost,
}

/// Why a cluster is used no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Poison {
    /// The cases after which it was so: with each, those whose leases overlapped with its own.
    pub(crate) culprits: Vec<String>,
    pub(crate) reasons: Vec<String>,
}

/// What became of a cluster that was released.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Released {
    /// Who else used it so far.
    pub(crate) others: Vec<String>,
    pub(crate) poison: Option<Poison>,
    /// What could not be removed of it.
    pub(crate) left: Option<String>,
}
