//! What a node does wrong on purpose, each as [`Faults`](crate::config::Faults) says it, and says so in its log.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::warn;

use super::clock::sleep;
use super::process;
use crate::config::{self, ExitAt, HttpFault, Settings};
use crate::wire::TransactionId;

/// The faults of one node, and which of them were told already.
pub(super) struct Faults {
    config: config::Faults,
    said_stopped: bool,
    said_forked: bool,
    led: u64,
}

impl Faults {
    pub(super) fn new(config: config::Faults) -> Self {
        Self { config, said_stopped: false, said_forked: false, led: 0 }
    }

    /// The chain has a new tip of that height. Does not return where that ends the node.
    pub(super) fn reached(&self, height: u64) {
        if let Some(at) = self.config.panic_at.filter(|at| height >= *at) {
            panic!("fault panic_at: the chain has reached height {at}");
        }
        if let Some(ExitAt { height: at, code }) = self.config.exit_at.filter(|exit| height >= exit.height) {
            warn!("fault exit_at: the chain has reached height {at}, exiting with code {code}");
            process::exit(code.into());
        }
    }

    /// Whether the node makes no block any more.
    pub(super) fn is_stopped(&mut self, height: u64) -> bool {
        let Some(at) = self.config.stop_producing_at.filter(|at| height >= *at) else { return false };
        if !std::mem::replace(&mut self.said_stopped, true) {
            warn!("fault stop_producing_at: the chain has reached height {at}, making no more blocks");
        }
        true
    }

    /// The node has won a slot: whether it leaves it out.
    pub(super) fn leaves_out(&mut self, slot: u64) -> bool {
        self.led += 1;
        let leaves_out = self.config.half_rate && self.led.is_multiple_of(2);
        if leaves_out {
            warn!("fault half_rate: making no block in slot {slot}");
        }
        leaves_out
    }

    /// Whether the node makes a second block in a slot.
    pub(super) fn equivocates(&self) -> bool {
        self.config.equivocate
    }

    /// Whether the node takes nothing from its peers.
    pub(super) fn ignores_peers(&mut self, height: u64) -> bool {
        let Some(at) = self.config.fork_away_at.filter(|at| height >= *at) else { return false };
        if !std::mem::replace(&mut self.said_forked, true) {
            warn!("fault fork_away_at: the chain has reached height {at}, ignoring what peers send");
        }
        true
    }

    /// Whether a submitted transaction is forgotten.
    pub(super) fn drops(&self, transaction: &TransactionId) -> bool {
        if self.config.accept_and_drop {
            warn!(%transaction, "fault accept_and_drop: dropped a transaction");
        }
        self.config.accept_and_drop
    }
}

/// What is wrong with every answer of HTTP.
#[derive(Clone, Copy)]
pub(super) struct Http {
    kind: Option<HttpFault>,
    delay: Duration,
}

impl Http {
    /// Tells in the log what will be wrong.
    pub(super) fn new(settings: &Settings) -> Self {
        let Self { kind, delay } = Self { kind: settings.faults.http, delay: settings.http_delay };
        match kind {
            Some(HttpFault::Closed) => warn!("fault http: no HTTP is opened"),
            Some(HttpFault::Silent) => warn!("fault http: no request is answered"),
            Some(HttpFault::Garbage) => warn!("fault http: every answer is garbage"),
            None => {}
        }
        if !delay.is_zero() {
            warn!("fault http_delay: every answer comes {delay:?} later");
        }
        Self { kind, delay }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.kind == Some(HttpFault::Closed)
    }
}

/// Answers as a faulty node does.
pub(super) async fn disturb(State(fault): State<Http>, request: Request, next: Next) -> Response {
    if !fault.delay.is_zero() {
        sleep(fault.delay).await;
    }
    match fault.kind {
        None => next.run(request).await,
        Some(HttpFault::Garbage) => ([(CONTENT_TYPE, "application/json")], GARBAGE).into_response(),
        Some(HttpFault::Silent | HttpFault::Closed) => std::future::pending().await,
    }
}

/// The beginning of something like an answer, and then bytes that are no text.
const GARBAGE: &[u8] = b"{\"lib\":\"d6d86453\",\"tip\":\xff\xfe\x00\x9d";
