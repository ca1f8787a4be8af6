//! Transactions that are submitted, and those that peers tell of.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use libp2p::gossipsub::MessageAcceptance;
use tracing::{debug, warn};

use super::{Origin, State, Verdicts};
use crate::mempool::Rejection;
use crate::wire::SignedTransaction;

impl State {
    /// A transaction was submitted. Returns whether it is to be passed on.
    pub(in crate::node) fn submit(
        &mut self,
        transaction: &Arc<SignedTransaction>,
    ) -> Result<bool, Rejection> {
        if self.faults.drops(&transaction.id()) {
            return Ok(false);
        }
        let began = SystemTime::now();
        let added = self.mempool.add(transaction.clone());
        self.counters.transactions_refused += u64::from(matches!(added, Err(Rejection::Invalid(_))));
        added?;
        self.counters.transactions_submitted += 1;
        self.touch_mempool();
        self.data.sample(transaction);
        self.spans.pooled("submitted", &transaction.id(), began);
        debug!(transaction = %transaction.id(), "transaction submitted");
        Ok(true)
    }

    /// A transaction arrived from a peer.
    pub(in crate::node) fn receive_transaction(
        &mut self,
        transaction: Arc<SignedTransaction>,
        origin: Option<Origin>,
    ) -> Verdicts {
        let is_ignored = self.faults.ignores_peers(self.chain.height());
        let verdict = if is_ignored || self.chain.inclusion(&transaction.id()).is_some() {
            MessageAcceptance::Ignore
        } else {
            let began = SystemTime::now();
            match self.mempool.add(transaction.clone()) {
                Ok(()) => {
                    self.touch_mempool();
                    self.data.sample(&transaction);
                    self.spans.pooled("gossiped", &transaction.id(), began);
                    MessageAcceptance::Accept
                }
                Err(Rejection::Invalid(refusal)) if refusal.may_pass() => {
                    self.mempool.park(transaction, origin);
                    return Verdicts::new();
                }
                Err(Rejection::Known | Rejection::Full) => MessageAcceptance::Ignore,
                Err(Rejection::Invalid(refusal)) => {
                    self.counters.transactions_refused += 1;
                    warn!(transaction = %transaction.id(), "refused a transaction: {refusal}");
                    MessageAcceptance::Reject
                }
            }
        };
        origin.into_iter().map(|origin| (origin, verdict)).collect()
    }

    fn touch_mempool(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_item = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    }
}
