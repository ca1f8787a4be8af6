//! The calls of a node's API that concern data availability.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ClientError, NodeClient};
use crate::node::{BlobId, ChannelId, MessageId, Request};

/// Executors try three times for 20 s each before they give up.
const DISPERSAL: Duration = Duration::from_secs(65);
/// Nodes ask their peers for what they do not have.
const COLLECTING: Duration = Duration::from_secs(30);

/// `POST /disperse-data`: the next blob of a channel.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispersal {
    /// The channel.
    pub channel_id: ChannelId,
    /// Its last message.
    pub parent_msg_id: MessageId,
    /// The channel's owner, a public key in hex.
    pub signer: String,
    /// The data, of a size that the program disperses.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Dispersal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { channel_id, parent_msg_id, data, .. } = self;
        write!(f, "Dispersal({} bytes on {channel_id:?} after {parent_msg_id:?})", data.len())
    }
}

/// `GET /da/sampling/shares`: which shares of a blob to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRequest {
    /// The blob.
    pub blob_id: BlobId,
    /// Indices of the shares that must be among them, each as two bytes, the low one first.
    pub requested_shares: Vec<[u8; 2]>,
    /// Indices of shares to leave out, likewise.
    pub filter_shares: Vec<[u8; 2]>,
    /// Whether to add all others that the node has.
    pub return_available: bool,
}

/// `POST /test/da/membership`: which nodes keep which shares in a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Peer ids of the members of each subnet, by the subnet's number.
    pub assignations: BTreeMap<String, Vec<String>>,
    /// The address of each peer.
    pub addressbook: BTreeMap<String, String>,
}

/// One subnet's entry in `GET /da/balancer-stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetLinks {
    /// Connections that members opened.
    pub inbound: usize,
    /// Connections to members.
    pub outbound: usize,
}

impl NodeClient {
    /// Has an executor encode, disperse and publish a blob; returns its id once dispersal is acknowledged, at
    /// the latest after 65 s. The blob is published when its message is in a block.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; a blob that could not be dispersed is [`ClientError::Status`] 500.
    pub async fn disperse(&self, dispersal: &Dispersal) -> Result<BlobId, ClientError> {
        let body = serde_json::to_value(dispersal).expect("a dispersal is plain data");
        self.read(Request::post("/disperse-data", body).within(DISPERSAL)).await
    }

    /// A share that the node keeps, as the program writes it; `None` where it keeps none of that index.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn share(&self, blob: BlobId, index: u16) -> Result<Option<Value>, ClientError> {
        let body = json!({ "blob_id": blob, "share_idx": index.to_le_bytes() });
        self.read(Request::get("/da/get-share").with_body(body)).await
    }

    /// The shares of a blob that the node has or gets from its peers, as the program writes them.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; a blob that the node does not know is [`ClientError::Status`] 500.
    pub async fn shares(&self, wanted: &ShareRequest) -> Result<Vec<Value>, ClientError> {
        let body = serde_json::to_value(wanted).expect("a request for shares is plain data");
        self.read_lines(Request::get("/da/sampling/shares").with_body(body).within(COLLECTING)).await
    }

    /// What commits to a blob's shares, as the program writes it; the node asks its peers where it has it not.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; [`ClientError::Status`] 500 where nobody has it.
    pub async fn commitments(&self, blob: BlobId, session: u64) -> Result<Value, ClientError> {
        self.read(Request::post("/da/get-commitments", json!({ "blob_id": blob, "session": session }))).await
    }

    /// The same from the node's own storage only; `None` where it is not there.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn stored_commitments(&self, blob: BlobId) -> Result<Option<Value>, ClientError> {
        self.read(Request::get("/da/get-storage-commitments").with_body(json!({ "blob_id": blob }))).await
    }

    /// Connections by subnet.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn balancer_stats(&self) -> Result<BTreeMap<String, SubnetLinks>, ClientError> {
        self.read(Request::get("/da/balancer-stats")).await
    }

    /// Which nodes keep which shares in a session, from the paths that are for tests only; empty for a session
    /// that the node does not know.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; also where the program has no such paths.
    pub async fn membership(&self, session: u64) -> Result<Membership, ClientError> {
        self.testing()?.read(Request::post("/test/da/membership", json!(session))).await
    }
}
