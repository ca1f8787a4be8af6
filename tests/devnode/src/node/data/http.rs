//! The paths of the HTTP API that concern data availability.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use libp2p::PeerId;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::Data;
use super::messages::Purpose;
use super::search::Search;
use crate::config::Role;
use crate::data::{Code, Commitment, Dispersal, Share};
use crate::node::http::{Api, JsonBody};
use crate::wire::BlobId;

/// What peers may take for shares that somebody reads.
const READ_WITHIN: Duration = Duration::from_secs(4);
/// What peers may take for what commits to a blob.
const COMMITMENTS_WITHIN: Duration = Duration::from_secs(1);

pub(in crate::node) fn routes() -> Router<Api> {
    Router::new()
        .route("/da/get-share", get(share))
        .route("/da/get-commitments", post(commitments))
        .route("/da/get-storage-commitments", get(stored_commitments))
        .route("/da/sampling/shares", get(shares))
        .route("/da/balancer-stats", get(balancer_stats))
        .route("/da/monitor-stats", get(monitor_stats))
        .route("/da/blacklisted-peers", get(blacklisted_peers))
        .route("/da/block-peer", post(block_peer))
        .route("/da/unblock-peer", post(unblock_peer))
}

/// Paths that take longer than others may.
pub(in crate::node) fn slow_routes(role: Role) -> Router<Api> {
    match role {
        Role::Validator => Router::new(),
        Role::Executor => Router::new().route("/disperse-data", post(disperse)),
    }
}

pub(in crate::node) fn testing_routes(data: Data) -> Router {
    let membership = async |State(data): State<Data>, JsonBody(session): JsonBody<u64>| {
        Json(data.0.members.shown(session))
    };
    Router::new().route("/test/da/membership", post(membership)).with_state(data)
}

async fn disperse(State(api): State<Api>, JsonBody(dispersal): JsonBody<Dispersal>) -> Response {
    match api.data().disperse(&api.state, &api.submitted, &dispersal).await {
        Ok(blob) => Json(blob).into_response(),
        Err(reason) => failed(&format!("Failed to disperse data: {reason}")),
    }
}

fn failed(text: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, text.to_owned()).into_response()
}

/// The place of a share, as two bytes, the low one first.
#[derive(Clone, Copy, Deserialize)]
#[serde(from = "[u8; 2]")]
struct Index(u16);

impl From<[u8; 2]> for Index {
    fn from(bytes: [u8; 2]) -> Self {
        Self(u16::from_le_bytes(bytes))
    }
}

#[derive(Deserialize)]
struct OneShare {
    blob_id: BlobId,
    share_idx: Index,
}

async fn share(State(api): State<Api>, JsonBody(wanted): JsonBody<OneShare>) -> Json<Option<Share>> {
    Json(api.data().given(wanted.blob_id, &[wanted.share_idx.0]).pop())
}

#[derive(Deserialize)]
struct OfBlob {
    blob_id: BlobId,
}

/// What commits to a blob: it has one row, whose commitment is the root over its shares.
#[derive(Serialize)]
struct Commitments {
    rows_commitments: [[u8; 32]; 1],
    blob_size: u64,
    #[serde(flatten)]
    code: Code,
}

impl From<Commitment> for Commitments {
    fn from(Commitment { root, size, code }: Commitment) -> Self {
        Self { rows_commitments: [root.0], blob_size: size, code }
    }
}

fn commitment(blob: BlobId, shares: &[Share]) -> Option<Commitments> {
    Some(shares.first()?.check(blob).ok()?.into())
}

async fn stored_commitments(
    State(api): State<Api>,
    JsonBody(OfBlob { blob_id: blob }): JsonBody<OfBlob>,
) -> Json<Option<Commitments>> {
    let data = api.data();
    Json(commitment(blob, &data.0.store.shares(blob, &data.all())))
}

#[derive(Deserialize)]
struct OfSession {
    blob_id: BlobId,
    session: u64,
}

async fn commitments(State(api): State<Api>, JsonBody(wanted): JsonBody<OfSession>) -> Response {
    let (data, blob) = (api.data(), wanted.blob_id);
    if wanted.session != crate::data::FIRST_SESSION {
        return failed("Failed to get range");
    }
    let mut shares = data.0.store.shares(blob, &data.all());
    if shares.is_empty() {
        shares = data.read(blob, data.all(), 1, COMMITMENTS_WITHIN).await;
    }
    match commitment(blob, &shares) {
        Some(commitments) => Json(commitments).into_response(),
        None => failed("Failed to get range"),
    }
}

#[derive(Deserialize)]
struct Shares {
    blob_id: BlobId,
    requested_shares: Vec<Index>,
    filter_shares: Vec<Index>,
    return_available: bool,
}

async fn shares(State(api): State<Api>, JsonBody(wanted): JsonBody<Shares>) -> Response {
    match api.data().collect(&wanted).await {
        Some(shares) => {
            let mut lines = String::new();
            for share in shares {
                let line = serde_json::to_string(&share).expect("a share is plain data");
                writeln!(lines, "{line}").expect("writing to a text never fails");
            }
            ([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response()
        }
        None => failed("Blob index not found"),
    }
}

impl Data {
    fn all(&self) -> Vec<u16> {
        (0..self.0.members.code().map_or(0, |code| code.shares)).collect()
    }

    async fn read(&self, blob: BlobId, shares: Vec<u16>, enough: usize, within: Duration) -> Vec<Share> {
        self.search(Search { blob, shares, enough, purpose: Purpose::Reading, within }).await
    }

    /// The shares that are requested, and where others may be added those of this node and as many more as
    /// restore the blob. Nothing where none can be had, or one that is requested cannot.
    async fn collect(&self, wanted: &Shares) -> Option<Vec<Share>> {
        let blob = wanted.blob_id;
        let requested: Vec<u16> = wanted.requested_shares.iter().map(|index| index.0).collect();
        if requested.len() > self.0.members.count() {
            return None;
        }
        let left_out = |index: &u16| wanted.filter_shares.iter().any(|other| other.0 == *index);
        let mut candidates = if wanted.return_available { self.all() } else { requested.clone() };
        candidates.retain(|index| requested.contains(index) || !left_out(index));
        let mut shares = self.given(blob, &candidates);
        let missing = |of: &[u16], shares: &[Share]| -> Vec<u16> {
            let is_there = |index: &u16| shares.iter().any(|share| share.index() == *index);
            of.iter().copied().filter(|index| !is_there(index)).collect()
        };
        let asked = missing(&requested, &shares);
        let count = asked.len();
        shares.extend(self.read(blob, asked, count, READ_WITHIN).await);
        let restoring = self.0.members.code().map_or(0, |code| code.data_shares.into());
        let good = shares.iter().filter(|share| share.check(blob).is_ok()).count();
        if wanted.return_available && good < restoring {
            let others = missing(&candidates, &shares);
            shares.extend(self.read(blob, others, restoring - good, READ_WITHIN).await);
        }
        (!shares.is_empty() && missing(&requested, &shares).is_empty()).then_some(shares)
    }
}

async fn balancer_stats(State(api): State<Api>) -> Json<Value> {
    let data = api.data();
    Json(json!(data.known().stats.links(&data.0.members)))
}

async fn monitor_stats(State(api): State<Api>) -> Json<Value> {
    Json(json!(api.data().known().stats.failures()))
}

async fn blacklisted_peers(State(api): State<Api>) -> Json<Vec<String>> {
    Json(api.data().known().stats.blocked())
}

async fn block_peer(State(api): State<Api>, JsonBody(Peer(peer)): JsonBody<Peer>) -> Json<bool> {
    Json(api.data().known().stats.block(peer))
}

async fn unblock_peer(State(api): State<Api>, JsonBody(Peer(peer)): JsonBody<Peer>) -> Json<bool> {
    Json(api.data().known().stats.unblock(&peer))
}

/// A peer's id in base58.
struct Peer(PeerId);

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        PeerId::from_str(&text).map(Self).map_err(serde::de::Error::custom)
    }
}
