//! What the framework must know of a node program, and the typed client of its HTTP API.
//!
//! A [`NodeProgram`] turns a planned node into files, arguments and ports, and knows how to make and
//! recognise transactions. It is pure: it starts nothing and reads nothing but its own executable's path.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::Problem;
use crate::plan::{Genesis, NodePlanning, PlannedNode};
use crate::topology::Topology;

mod client;
mod http;
pub use client::{
    AppliedBlock, AppliedHeader, ClientError, ConsensusInfo, Header, LeadershipProof, MempoolMetrics,
    NetworkInfo, NodeBlock, NodeClient, TransactionStatus,
};
pub use http::{HttpTransport, Reply, Request, Streamed, Transport};

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

    /// How the program's transactions are made and recognised.
    fn wallet(&self) -> &dyn Wallet;

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
}

impl Default for HttpDialect {
    fn default() -> Self {
        Self { port: "http".to_owned() }
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

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(with = "hex")] pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({}…)"), hex::encode(&self.0[..4]))
            }
        }

        impl $name {
            /// The first eight hex digits, for messages.
            #[must_use]
            pub fn short(&self) -> String {
                hex::encode(&self.0[..4])
            }
        }
    };
}

id!(
    /// Id of a block: the hash of its header.
    HeaderId
);
id!(
    /// Id of a transaction.
    TransactionId
);
