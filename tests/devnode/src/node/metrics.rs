//! `GET /metrics` on the testing listener, in the text format of Prometheus.

use std::fmt::Write as _;

use axum::extract::State;

use super::state::Shared;

/// Every metric: its name, and what it counts.
const METRICS: [(&str, &str); 6] = [
    ("devnode_height", "height of the tip"),
    ("devnode_slot", "slot of the tip"),
    ("devnode_lib_height", "height of the last irreversible block"),
    ("devnode_mempool_transactions", "pending transactions"),
    ("devnode_peers", "connected peers"),
    ("devnode_connections", "open connections"),
];

pub(super) async fn show(State(state): State<Shared>) -> String {
    let values = {
        let state = state.lock();
        [
            state.chain.height(),
            state.chain.slot(),
            state.lib.0,
            state.mempool.len() as u64,
            state.network.n_peers as u64,
            u64::from(state.network.n_connections),
        ]
    };
    let mut text = String::new();
    for ((name, help), value) in METRICS.iter().zip(values) {
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")
            .expect("writing to a text never fails");
    }
    text
}
