//! `GET /metrics` on the testing listener, in the text format of Prometheus. `devnode --help` lists the names.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::state::{self, Shared};

/// What happened since the node started.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) blocks_made: u64,
    pub(super) blocks_applied: u64,
    pub(super) blocks_fetched: u64,
    pub(super) blocks_refused: u64,
    pub(super) reorganisations: u64,
    pub(super) equivocations: u64,
    pub(super) transactions_submitted: u64,
    pub(super) transactions_refused: u64,
    pub(super) transactions_included: u64,
    pub(super) blobs_included: u64,
    pub(super) blobs_dispersed: u64,
}

/// A metric: its name, its type, what it says, and where that is from.
pub(super) type Metric = (&'static str, &'static str, &'static str, fn(&state::State) -> u64);

pub(super) const METRICS: [Metric; 18] = [
    ("devnode_height", "gauge", "height of the tip", |state| state.chain.height()),
    ("devnode_slot", "gauge", "slot of the tip", |state| state.chain.slot()),
    ("devnode_lib_height", "gauge", "height of the last irreversible block", |state| state.lib.0),
    ("devnode_mempool_transactions", "gauge", "pending transactions", |state| state.mempool.len() as u64),
    ("devnode_peers", "gauge", "connected peers", |state| state.network.n_peers as u64),
    ("devnode_connections", "gauge", "open connections", |state| state.network.n_connections.into()),
    ("devnode_orphans", "gauge", "blocks that wait for their parent", |state| state.orphans() as u64),
    ("devnode_blocks_made_total", "counter", "blocks of this node", |state| state.counters.blocks_made),
    ("devnode_blocks_applied_total", "counter", "blocks of others", |state| state.counters.blocks_applied),
    ("devnode_blocks_fetched_total", "counter", "those of them that were asked for", |state| {
        state.counters.blocks_fetched
    }),
    (
        "devnode_blocks_refused_total",
        "counter",
        "blocks that broke a rule or fork off below the LIB",
        |state| state.counters.blocks_refused,
    ),
    ("devnode_reorganisations_total", "counter", "times that blocks left the chain", |state| {
        state.counters.reorganisations
    }),
    ("devnode_equivocations_total", "counter", "slots in which a leader made two blocks", |state| {
        state.counters.equivocations
    }),
    ("devnode_transactions_submitted_total", "counter", "transactions accepted over HTTP", |state| {
        state.counters.transactions_submitted
    }),
    ("devnode_transactions_refused_total", "counter", "transactions refused, from HTTP and peers", |state| {
        state.counters.transactions_refused
    }),
    (
        "devnode_transactions_included_total",
        "counter",
        "transactions in blocks that the chain took in, anew in each",
        |state| state.counters.transactions_included,
    ),
    ("devnode_blobs_included_total", "counter", "blobs in these", |state| state.counters.blobs_included),
    ("devnode_blobs_dispersed_total", "counter", "blobs that this executor spread", |state| {
        state.counters.blobs_dispersed
    }),
];

/// A line for each metric: its name, its type, and what it says.
pub(super) fn list() -> String {
    let line = |(name, kind, help, _): &Metric| format!("  {name:<38} {kind:<8} {help}\n");
    METRICS.iter().map(line).collect()
}

pub(super) async fn show(State(state): State<Shared>) -> impl IntoResponse {
    let state = state.lock();
    let mut text = String::new();
    for (name, kind, help, value) in METRICS {
        let value = value(&state);
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")
            .expect("writing to a text never fails");
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
