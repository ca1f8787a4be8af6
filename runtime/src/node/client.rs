//! The typed client of a node's HTTP API.

use std::fmt;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{HeaderId, Reply, Request, Streamed, TransactionId, Transport};
use crate::topology::Role;

mod data;
pub use data::{Dispersal, Membership, ShareRequest, SubnetLinks};

/// Talks to one node. Cheap to clone.
///
/// ```
/// # use logos_scenario_runtime::fake;
/// # fake::in_no_time(async {
/// # let (runner, scenario) = fake::example().await?;
/// let client = runner.node_clients().by_name("validator-0").ok_or("there is one")?;
/// let info = client.consensus_info().await?;
/// let block = client.block(info.tip).await?.ok_or("the node has its own tip")?;
/// println!("{} at height {}, made in slot {}", info.tip.short(), info.height, block.header.slot);
/// println!("{} peers", client.network_info().await?.n_peers);
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct NodeClient {
    name: Arc<str>,
    role: Role,
    transport: Arc<dyn Transport>,
    /// To the paths that are for tests only.
    testing: Option<Arc<dyn Transport>>,
}

/// `GET /cryptarchia/info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsensusInfo {
    /// The last irreversible block; the genesis id until the chain is `k` blocks high.
    pub lib: HeaderId,
    /// The newest block of the node's chain.
    pub tip: HeaderId,
    /// Slot of the tip.
    pub slot: u64,
    /// Height of the tip; 0 is genesis.
    pub height: u64,
    /// `Bootstrapping` or `Online`.
    pub mode: String,
}

/// `GET /network/info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInfo {
    /// Multiaddresses the node listens on.
    pub listen_addresses: Vec<String>,
    /// Connected peers.
    pub n_peers: usize,
    /// Open connections.
    pub n_connections: usize,
    /// Connections being made.
    pub n_pending_connections: usize,
}

/// `POST /storage/block`. The id is not in it: who asks knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeBlock {
    /// What the block's id is the hash of.
    pub header: Header,
    /// Transactions as the node program writes them; its [`Wallet`](super::Wallet) tells their ids.
    pub transactions: Vec<Value>,
}

/// What a block's id is the hash of, as far as the framework reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The block before this one.
    pub parent_block: HeaderId,
    /// Slot in which the block was made.
    pub slot: u64,
    /// Why its maker was allowed to make it.
    pub proof_of_leadership: LeadershipProof,
}

/// Why a block's maker was allowed to make it, as far as the framework reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadershipProof {
    /// Public key of the leader, in hex.
    pub leader_key: String,
}

/// A block as a node's block stream tells it, as far as the framework reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedBlock {
    /// What the block's id is the hash of, and the id.
    pub header: AppliedHeader,
}

/// The header of an [`AppliedBlock`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedHeader {
    /// The block's id.
    pub id: HeaderId,
    /// The block before this one.
    pub parent_block: HeaderId,
    /// Slot in which the block was made.
    pub slot: u64,
}

/// `GET /mantle/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MempoolMetrics {
    /// Transactions that wait for a block.
    pub pending_items: usize,
    /// When the last one came, in milliseconds since 1970.
    pub last_item_timestamp: u64,
}

/// What a node says of a transaction. Inclusion is read from blocks: nodes hardly ever say `InBlock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransactionStatus {
    /// The node never saw it, or forgot it.
    Unknown,
    /// It waits for a block.
    Pending,
    /// It is in a block.
    InBlock {
        /// The block.
        block: HeaderId,
    },
    /// The node refused it.
    Rejected,
}

/// A request that did not bring what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ClientError {
    /// No reply came.
    #[error("{node} did not answer {url}: {cause}")]
    Unreachable {
        /// Name of the node.
        node: String,
        /// The whole URL.
        url: String,
        /// What kept the reply from coming.
        cause: String,
    },
    /// The reply was no success.
    #[error("{node} answered {url} with {status}: {body}")]
    Status {
        /// Name of the node.
        node: String,
        /// The whole URL.
        url: String,
        /// HTTP status code.
        status: u16,
        /// The body as text.
        body: String,
    },
    /// The reply was something else than expected.
    #[error("{node} answered {url} with something else than expected ({cause}): {body}")]
    Unexpected {
        /// Name of the node.
        node: String,
        /// The whole URL.
        url: String,
        /// What was wrong with it.
        cause: String,
        /// The beginning of the body as text.
        body: String,
    },
}

impl ClientError {
    /// The node that was asked.
    #[must_use]
    pub fn node(&self) -> &str {
        let (Self::Unreachable { node, .. } | Self::Status { node, .. } | Self::Unexpected { node, .. }) =
            self;
        node
    }

    /// Whether the node may have never seen the request, so that another node can be asked.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl NodeClient {
    /// A client of the node `name` behind `transport`.
    #[must_use]
    pub fn new(name: &str, role: Role, transport: Arc<dyn Transport>) -> Self {
        Self { name: name.into(), role, transport, testing: None }
    }

    /// Adds the way to the node's paths that are for tests only.
    #[must_use]
    pub fn with_testing(mut self, transport: Arc<dyn Transport>) -> Self {
        self.testing = Some(transport);
        self
    }

    /// The node's name, such as `validator-0`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the node does.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Where the node's API is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.transport.url()
    }

    /// Tip, height and LIB of the node's chain.
    ///
    /// # Errors
    ///
    /// [`ClientError`], as every call.
    pub async fn consensus_info(&self) -> Result<ConsensusInfo, ClientError> {
        self.read(Request::get("/cryptarchia/info")).await
    }

    /// Ids of the node's chain from `from` (default: tip) down to `to` (default: LIB), newest first, both
    /// ends included, at most 512.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn headers(
        &self,
        from: Option<HeaderId>,
        to: Option<HeaderId>,
    ) -> Result<Vec<HeaderId>, ClientError> {
        let ends = [("from", from), ("to", to)];
        let query: Vec<String> =
            ends.iter().filter_map(|(name, id)| id.map(|id| format!("{name}={id}"))).collect();
        let path = ["/cryptarchia/headers", &query.join("&")].join(if query.is_empty() { "" } else { "?" });
        self.read(Request::get(path)).await
    }

    /// How many peers the node has.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn network_info(&self) -> Result<NetworkInfo, ClientError> {
        self.read(Request::get("/network/info")).await
    }

    /// A block by its id; `None` where the node does not have it. Genesis is stored nowhere.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn block(&self, id: HeaderId) -> Result<Option<NodeBlock>, ClientError> {
        self.read(Request::post("/storage/block", Value::String(id.to_string()))).await
    }

    /// Hands the node a signed transaction.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; a refusal is [`ClientError::Status`].
    pub async fn submit_transaction(&self, transaction: &Value) -> Result<(), ClientError> {
        self.read(Request::post("/mempool/add/tx", transaction.clone())).await
    }

    /// What the node's mempool holds.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn mempool_metrics(&self) -> Result<MempoolMetrics, ClientError> {
        self.read(Request::get("/mantle/metrics")).await
    }

    /// What the node says of transactions, in their order.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn transaction_status(
        &self,
        ids: &[TransactionId],
    ) -> Result<Vec<TransactionStatus>, ClientError> {
        self.read(Request::post("/mantle/status", serde_json::json!(ids))).await
    }

    /// The blocks that the node applies from now on, of all branches.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; [`ClientError::Status`] where the node has no such stream. An error in the stream is
    /// its end.
    pub async fn applied_blocks(
        &self,
    ) -> Result<BoxStream<'static, Result<AppliedBlock, ClientError>>, ClientError> {
        let path = "/cryptarchia/blocks/stream";
        let (node, url) = (self.name().to_owned(), format!("{}{path}", self.url()));
        let Streamed { status, lines } = match self.transport.stream(path).await {
            Ok(streamed) => streamed,
            Err(cause) => return Err(ClientError::Unreachable { node, url, cause }),
        };
        if !(200..300).contains(&status) {
            return Err(ClientError::Status { node, url, status, body: String::new() });
        }
        let block = move |line: Result<String, String>| {
            let (node, url) = (node.clone(), url.clone());
            match line {
                Err(cause) => Err(ClientError::Unreachable { node, url, cause }),
                Ok(body) => serde_json::from_str(&body).map_err(|error| {
                    let body = body.chars().take(500).collect();
                    ClientError::Unexpected { node, url, cause: error.to_string(), body }
                }),
            }
        };
        Ok(lines.map(block).boxed())
    }

    /// The same node's paths that are for tests only.
    fn testing(&self) -> Result<Self, ClientError> {
        match &self.testing {
            Some(transport) => Ok(Self { transport: Arc::clone(transport), ..self.clone() }),
            None => Err(ClientError::Unreachable {
                node: self.name().to_owned(),
                url: self.url().to_owned(),
                cause: "the node program has no paths for tests".to_owned(),
            }),
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, ClientError> {
        let (url, body) = self.send(request).await?;
        self.parse(&url, &body)
    }

    /// Reads a reply with a value a line.
    async fn read_lines<T: DeserializeOwned>(&self, request: Request) -> Result<Vec<T>, ClientError> {
        let (url, body) = self.send(request).await?;
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| self.parse(&url, line)).collect()
    }

    /// The URL of a request, and the body of the reply to it.
    async fn send(&self, request: Request) -> Result<(String, Vec<u8>), ClientError> {
        let node = self.name().to_owned();
        let url = format!("{}{}", self.url(), request.path);
        match self.transport.send(request).await {
            Ok(Reply { status: 200..300, body }) => Ok((url, body)),
            Ok(Reply { status, body }) => {
                Err(ClientError::Status { node, url, status, body: beginning(&body) })
            }
            Err(cause) => Err(ClientError::Unreachable { node, url, cause }),
        }
    }

    fn parse<T: DeserializeOwned>(&self, url: &str, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| ClientError::Unexpected {
            node: self.name().to_owned(),
            url: url.to_owned(),
            cause: error.to_string(),
            body: beginning(body),
        })
    }
}

/// As much of a body as a message bears.
fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(500).collect()
}

impl fmt::Debug for NodeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeClient({} at {})", self.name, self.url())
    }
}
