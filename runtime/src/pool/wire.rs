//! What a host and its clients say to each other: plain data, a line of JSON each where a socket is between
//! them.
//!
//! A [`Link`] is one client's side, be the host in this process or in another. A lease is its open link: when
//! the link ends, whatever ends it, so does the lease.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::ledger::{Grant, Keeping, Listed, Released, Wish};
use crate::deployer::{
    ClusterDescription, ClusterError, DynCluster, Log, LogPart, NodeAction, States, Usage,
};
use crate::failure::Failure;
use crate::faults::{LinkState, NetworkFault};
use crate::plan::{Plan, PlannedNode};
use crate::process::Process;

/// What a client says.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    /// Clusters are for a process and those it starts. What the client's own process plans is said with it, so
    /// that nothing it needs can end in between.
    Own {
        owning: Owning,
        process: Process,
        plans: Plans,
    },
    /// How many cases of a process will still use clusters of a key. The first client that says so of a process
    /// stands for it: the plans end with that.
    Planned {
        process: Process,
        key: String,
        users: usize,
    },
    Attach(Wish),
    /// What was asked for by [`Reply::Provide`].
    Provide(Box<Order>),
    Call {
        id: u64,
        call: Call,
    },
    List,
}

/// How many cases of a process will use clusters of each key.
pub(crate) type Plans = BTreeMap<String, usize>;

/// For whom clusters are kept, and for how long.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Owning {
    pub(crate) owner: Process,
    pub(crate) keeping: Keeping,
}

impl Owning {
    /// What a client of this process says of its owner and its plans.
    pub(crate) fn said(self, plans: Plans) -> Request {
        Request::Own { owning: self, process: Process::this(), plans }
    }
}

/// What a cluster is made by. It is large, and said only where a cluster is to be made.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) backend: String,
    /// In whose folder the cluster's is.
    pub(crate) invocation: String,
    pub(crate) plan: Plan,
    pub(crate) health: Health,
}

/// What a healthy cluster looks like.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Health {
    pub(crate) slot: Duration,
    /// A tip that is older by so many slots is no tip of a living chain.
    pub(crate) stall: u64,
    /// How long a cluster may take to be well.
    pub(crate) patience: Duration,
    /// Peers of each node that starts with the cluster.
    pub(crate) peers: BTreeMap<String, usize>,
}

/// What the holder of a lease asks for.
#[derive(Serialize, Deserialize)]
pub(crate) enum Call {
    States {
        newer_than: u64,
    },
    Control {
        node: String,
        action: NodeAction,
    },
    Replan {
        node: Box<PlannedNode>,
    },
    Disturb {
        faults: Vec<NetworkFault>,
    },
    Links,
    Logs {
        node: String,
        part: LogPart,
    },
    Usage {
        node: String,
    },
    Draw {
        count: usize,
    },
    /// The cluster stays for a while after the lease, to be looked at.
    Keep,
    Release {
        passed: bool,
    },
}

/// What a host says.
#[derive(Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The host lives: said at once, and again and again.
    Alive,
    /// What the client waits for.
    Waiting(String),
    /// The cluster that the client waits for is to be made now: by what?
    Provide,
    Granted(Box<Granted>),
    Refused(Failure),
    Answer {
        id: u64,
        answer: Answer,
    },
    Clusters(Vec<Listed>),
}

/// A lease, and where its cluster is.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Granted {
    pub(crate) grant: Grant,
    pub(crate) description: ClusterDescription,
    /// Where the cluster's files are.
    pub(crate) directory: PathBuf,
    /// The cluster itself, where it is in this process.
    #[serde(skip)]
    pub(crate) cluster: Option<Arc<dyn DynCluster>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Answer {
    States(Result<States, ClusterError>),
    Control(Result<(), ClusterError>),
    Replanned(Result<(), ClusterError>),
    Disturbed(Result<(), ClusterError>),
    Links(Result<Vec<LinkState>, ClusterError>),
    Logs(Result<Log, ClusterError>),
    Usage(Result<Option<Usage>, ClusterError>),
    Drawn(Result<Range<usize>, usize>),
    /// The process that keeps the cluster.
    Kept {
        keeper: u32,
    },
    Released(Released),
    /// The cluster cannot answer at all.
    Failed(ClusterError),
}

/// A client's side of a connection.
pub(crate) struct Link {
    pub(crate) requests: mpsc::UnboundedSender<Request>,
    pub(crate) replies: mpsc::UnboundedReceiver<Reply>,
    /// What carries them; ends with the link.
    pub(crate) carriers: JoinSet<()>,
    /// The host's process, where it is another and known.
    pub(crate) keeper: Option<u32>,
}
