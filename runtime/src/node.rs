//! What the framework must know of a node program, and the typed client of its HTTP API.
//!
//! A [`NodeProgram`] turns a planned node into files, arguments and ports, and knows how to make and
//! recognise transactions. It is pure: it starts nothing and reads nothing but its own executable's path.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::Problem;
use crate::plan::{Genesis, NodePlanning, PlannedNode};
use crate::topology::Topology;

mod client;
mod data;
mod http;
mod id;
pub use client::{
    AppliedBlock, AppliedHeader, ClientError, ConsensusInfo, Dispersal, Header, LeadershipProof, Membership,
    MempoolMetrics, NetworkInfo, NodeBlock, NodeClient, ShareRequest, SubnetLinks, TransactionStatus,
};
pub use data::{DataAvailability, Inscription, Message};
pub use http::{HttpTransport, Method, Reply, Request, Streamed, Transport};
pub use id::{BlobId, ChannelId, HeaderId, MessageId, TransactionId};

/// What the framework must know of a node program.
///
/// The in-tree node's implementation in `tests/devnode` is the model to follow.
pub trait NodeProgram: Send + Sync + 'static {
    /// The name for people.
    fn name(&self) -> &str;

    /// Changes when the program does: a version, or a hash or time of its file. Part of the
    /// [`ClusterKey`](crate::plan::ClusterKey).
    fn identity(&self) -> String;

    /// Files, command and ports of one node. Peers are named by [`symbol`](crate::plan::symbol)s.
    ///
    /// The ports must include [`HttpDialect::port`].
    ///
    /// # Errors
    ///
    /// What the node's own settings ask for and the program does not have.
    fn plan(&self, node: &NodePlanning<'_>) -> Result<PlannedNode, Problem>;

    /// How the program's HTTP API differs from the common one.
    fn http(&self) -> HttpDialect {
        HttpDialect::default()
    }

    /// How the program's transactions are made and recognised; by default there are none that the framework could
    /// make, and those in blocks are not looked at.
    fn wallet(&self) -> Option<&dyn Wallet> {
        None
    }

    /// How the program's channels and blobs are written and read; by default it has none.
    fn data(&self) -> Option<&dyn DataAvailability> {
        None
    }

    /// An upper bound on how long a message takes to reach all nodes of a topology; the liveness bound
    /// rests on it.
    fn message_delay(&self, topology: &Topology) -> Duration;

    /// The text by which a panic is told in the program's log.
    fn panic_marker(&self) -> &str {
        "panicked at"
    }
}

/// Where a program's HTTP API differs from the common one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpDialect {
    /// Name of the planned port that serves the API.
    pub port: String,
    /// Name of the planned port that serves paths for tests only; none where there are no such paths.
    pub testing_port: Option<String>,
}

impl Default for HttpDialect {
    fn default() -> Self {
        Self { port: "http".to_owned(), testing_port: Some("testing_http".to_owned()) }
    }
}

/// Makes and recognises a node program's transactions. Accounts are numbered as in [`Genesis::accounts`].
pub trait Wallet: Send + Sync {
    /// The notes that genesis gives to the accounts, in order.
    fn genesis_notes(&self, genesis: &Genesis) -> Vec<Note>;

    /// A signed transaction of `owner` that spends `input` into `outputs` (account and value each). May be
    /// slow; it is called on threads that may block.
    fn transfer(&self, owner: usize, input: &Note, outputs: &[(usize, u64)]) -> Transfer;

    /// The id of a transaction as it stands in a block.
    ///
    /// # Errors
    ///
    /// Says what the value lacks to be a transaction of this program.
    fn transaction_id(&self, transaction: &serde_json::Value) -> Result<TransactionId, String>;
}

/// A note of the ledger that can be spent once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// 32 bytes in hex.
    pub id: String,
    /// Value in units.
    pub value: u64,
}

/// A signed transaction, ready to be submitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// The id it will have in a block.
    pub id: TransactionId,
    /// The body of the submission.
    pub body: serde_json::Value,
    /// The notes it makes, in the order of its outputs.
    pub notes: Vec<Note>,
}
