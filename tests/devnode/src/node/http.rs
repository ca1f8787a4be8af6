//! The HTTP API, with the paths, codes and texts of the production node.

mod body;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;

pub(super) use self::body::JsonBody;
use self::server::{Limits, Place};
use super::data::{self, Data};
use super::state::{Mode, NetworkInfo, Shared};
use super::streams::Reader;
use super::{faults, metrics, streams};
use crate::config::{Role, Settings};
use crate::mempool::Rejection;
use crate::wire::{Block, HeaderId, PublicKey, SignedTransaction, TransactionId};

const MAX_BODY: usize = 10 * 1024 * 1024;
const MAX_HEADERS: usize = 512;
const MAX_TIME: Duration = Duration::from_secs(30);

/// Where the two listeners are to be; they come up when the node is ready.
pub(super) struct Listeners {
    api: TcpListener,
    testing: TcpListener,
    role: Role,
}

impl Listeners {
    pub(super) async fn bind(settings: &Settings) -> Result<Self, String> {
        let api = bind("http", settings.http).await?;
        let testing = bind("testing_http", settings.testing_http).await?;
        Ok(Self { api, testing, role: settings.role })
    }

    /// Answers at both until the process ends.
    pub(super) async fn serve(
        self,
        fault: faults::Http,
        state: Shared,
        submitted: UnboundedSender<Arc<SignedTransaction>>,
    ) {
        let disturb = middleware::from_fn_with_state(fault, faults::disturb);
        let data = state.lock().data.clone();
        let testing = Router::new().route("/metrics", get(metrics::show)).with_state(state.clone());
        let testing = limited(testing.merge(data::testing_routes(data)));
        let api = routes(self.role, Api { state, submitted }).layer(disturb);
        tokio::join!(
            server::serve(self.api, api, Limits::default()),
            server::serve(self.testing, testing, Limits::default()),
        );
    }
}

async fn bind(field: &str, at: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(at).await.map_err(|error| format!("{field}: {at}: {error}"))
}

#[derive(Clone)]
pub(super) struct Api {
    pub(super) state: Shared,
    pub(super) submitted: UnboundedSender<Arc<SignedTransaction>>,
}

impl Api {
    pub(super) fn data(&self) -> Data {
        self.state.lock().data.clone()
    }
}

fn routes(role: Role, api: Api) -> Router {
    let routes = Router::new()
        .route("/cryptarchia/info", get(info))
        .route("/cryptarchia/headers", get(headers))
        .route("/cryptarchia/lib-stream", get(lib_stream))
        .route("/cryptarchia/blocks/stream", get(blocks_stream))
        .route("/network/info", get(network_info))
        .route("/storage/block", post(block))
        .route("/mempool/add/tx", post(add_transaction))
        .route("/mantle/metrics", get(mempool_metrics))
        .route("/mantle/status", post(status))
        .route("/wallet/{pk}/balance", get(balance))
        .merge(data::routes());
    limited(routes).merge(data::slow_routes(role).layer(DefaultBodyLimit::max(MAX_BODY))).with_state(api)
}

/// What any client may take of a node's time and memory.
fn limited<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.layer(middleware::from_fn(in_time)).layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn in_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(MAX_TIME, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

#[derive(Serialize)]
struct Info {
    lib: HeaderId,
    tip: HeaderId,
    slot: u64,
    height: u64,
    mode: Mode,
}

async fn info(State(api): State<Api>) -> Json<Info> {
    let state = api.state.lock();
    let chain = &state.chain;
    let (lib, tip, slot, height) = (state.lib.1, chain.tip(), chain.slot(), chain.height());
    Json(Info { lib, tip, slot, height, mode: state.mode })
}

#[derive(Deserialize)]
struct Ends {
    from: Option<HeaderId>,
    to: Option<HeaderId>,
}

async fn headers(State(api): State<Api>, Query(ends): Query<Ends>) -> Json<Vec<HeaderId>> {
    let state = api.state.lock();
    let (from, to) = (ends.from.unwrap_or_else(|| state.chain.tip()), ends.to.unwrap_or(state.lib.1));
    Json(state.chain.headers(from, to, MAX_HEADERS))
}

async fn lib_stream(State(api): State<Api>, Extension(place): Extension<Place>) -> Response {
    stream(&place, api.state.lock().streams.lib())
}

async fn blocks_stream(State(api): State<Api>, Extension(place): Extension<Place>) -> Response {
    stream(&place, api.state.lock().streams.blocks())
}

/// A stream is the last answer of its connection, which does not count as one of ordinary requests any more.
fn stream(place: &Place, reader: Option<Reader>) -> Response {
    let close = (header::CONNECTION, "close");
    let Some(reader) = reader else {
        let full = format!("at most {} streams are open at once; close one", streams::MOST);
        return (StatusCode::SERVICE_UNAVAILABLE, [close], full).into_response();
    };
    place.leave();
    ([(header::CONTENT_TYPE, "application/x-ndjson"), close], Body::from_stream(reader.lines()))
        .into_response()
}

async fn network_info(State(api): State<Api>) -> Json<NetworkInfo> {
    Json(api.state.lock().network.clone())
}

async fn block(State(api): State<Api>, JsonBody(id): JsonBody<HeaderId>) -> Json<Option<Arc<Block>>> {
    Json(api.state.lock().chain.block(&id).cloned())
}

async fn add_transaction(
    State(api): State<Api>,
    JsonBody(transaction): JsonBody<SignedTransaction>,
) -> Response {
    let transaction = Arc::new(transaction);
    let submitted = api.state.lock().submit(&transaction);
    match submitted {
        Ok(pass_on) => {
            if pass_on {
                // An error says that the node ends.
                drop(api.submitted.send(transaction));
            }
            Json(()).into_response()
        }
        Err(Rejection::Invalid(refusal)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string()).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn mempool_metrics(State(api): State<Api>) -> Json<Value> {
    let state = api.state.lock();
    Json(json!({ "pending_items": state.mempool.len(), "last_item_timestamp": state.last_item }))
}

#[derive(Serialize)]
enum Status {
    Unknown,
    Pending,
    InBlock { block: HeaderId },
    Rejected,
}

async fn status(State(api): State<Api>, JsonBody(ids): JsonBody<Vec<TransactionId>>) -> Json<Vec<Status>> {
    let state = api.state.lock();
    let status = |id: &TransactionId| match state.chain.inclusion(id) {
        Some(block) => Status::InBlock { block },
        None if state.mempool.contains(id) => Status::Pending,
        None if state.mempool.has_dropped(id) => Status::Rejected,
        None => Status::Unknown,
    };
    Json(ids.iter().map(status).collect())
}

#[derive(Deserialize)]
struct AtTip {
    tip: Option<HeaderId>,
}

async fn balance(
    State(api): State<Api>,
    Path(pk): Path<PublicKey>,
    Query(AtTip { tip }): Query<AtTip>,
) -> Response {
    let state = api.state.lock();
    let tip = tip.unwrap_or_else(|| state.chain.tip());
    let Some(ledger) = state.chain.ledger_after(&tip) else {
        let unknown = format!("Unknown tip {tip}: balances are known from the last irreversible block on");
        return (StatusCode::INTERNAL_SERVER_ERROR, unknown).into_response();
    };
    match ledger.balance(&pk) {
        0 => {
            (StatusCode::NOT_FOUND, "The requested address could not be found in the wallet.").into_response()
        }
        balance => json!({ "tip": tip, "balance": balance, "address": pk }).to_string().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_so() {
        let never =
            Router::new().route("/", get(std::future::pending::<()>)).layer(middleware::from_fn(in_time));
        let request = Request::new(Body::empty());
        let answer = hyper::service::Service::call(&TowerToHyperService::new(never), request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
