//! What was submitted is in a block of every node's chain.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Expectation;
use crate::context::RunContext;
use crate::failure::{Failure, FailureClass, Problem};
use crate::feed::{Block, BlockFeed, Event};
use crate::node::{HeaderId, TransactionId};
use crate::scenario::Outline;
use crate::workload::{Entries, Submission, TransactionLog};

/// Every transaction that a node accepted is in a block of every node's chain by the end of settle.
/// Brought by [`Transactions`](crate::workload::Transactions).
#[derive(Clone, Debug)]
pub struct TransactionInclusion {
    min_inclusion: f64,
}

impl Default for TransactionInclusion {
    fn default() -> Self {
        Self { min_inclusion: 1.0 }
    }
}

/// The share of planned transactions that may stay unsubmitted.
const UNSUBMITTED: f64 = 0.05;
/// How many lost transactions a message lists.
const LISTED: usize = 5;

impl TransactionInclusion {
    /// Sets the share of accepted transactions that must be included, in (0, 1]; all by default.
    #[must_use]
    pub fn min_inclusion(mut self, share: f64) -> Self {
        self.min_inclusion = share;
        self
    }
}

impl Expectation for TransactionInclusion {
    type Baseline = ();

    fn name(&self) -> &str {
        "TransactionInclusion"
    }

    fn problems(&self, _: &Outline<'_>) -> Vec<Problem> {
        if self.min_inclusion > 0.0 && self.min_inclusion <= 1.0 {
            return Vec::new();
        }
        vec![Problem::new(
            "transactions.min_inclusion",
            format!("{}, expected a share in (0, 1]", self.min_inclusion),
            "try 0.95",
        )]
    }

    async fn capture(&self, cx: &RunContext) -> Result<(), Failure> {
        let (log, feed) = (cx.state::<TransactionLog>(), cx.feed().clone());
        cx.await_pending(move || outstanding(&feed, &log.lock()).len());
        Ok(())
    }

    async fn judge(&self, cx: &RunContext, (): ()) -> Result<(), Failure> {
        let log = cx.state::<TransactionLog>();
        let mut events = cx.feed().subscribe();
        let settled = cx.settled();
        tokio::pin!(settled);
        loop {
            tokio::select! {
                biased;
                event = events.next() => {
                    if let Event::Block(block) = event {
                        log.observe(&block);
                    }
                }
                () = &mut settled => break,
            }
        }
        self.verdict(cx, &log)
    }
}

impl TransactionInclusion {
    fn verdict(&self, cx: &RunContext, log: &Arc<TransactionLog>) -> Result<(), Failure> {
        let log = log.lock();
        let outstanding = outstanding(cx.feed(), &log);
        let submitted = log.submitted.len();
        let included = submitted - outstanding.len();
        // A run that was cut short did not let everything land: what is young is in flight, not lost.
        let lost: Vec<_> = outstanding
            .iter()
            .filter(|(_, submission)| submission.at.elapsed() >= cx.time_to_land())
            .collect();
        let in_flight = outstanding.len() - lost.len();
        let class = |unsubmitted| {
            if unsubmitted { FailureClass::Infrastructure } else { FailureClass::Product }
        };
        let unsubmitted = log.planned.saturating_sub((submitted + log.rejected.len()) as u64);
        let too_slow = !cx.was_cut_short() && unsubmitted as f64 > log.planned as f64 * UNSUBMITTED;
        let too_few = ((included + in_flight) as f64) < submitted as f64 * self.min_inclusion;
        if !too_slow && !too_few {
            return Ok(());
        }
        let mut failure = Failure::new(class(!too_few), "TransactionInclusion")
            .expected(format!(
                "{} of {submitted} accepted transactions in a block of every node's chain, and at most {:.0} % of {} planned ones unsubmitted",
                (submitted as f64 * self.min_inclusion).ceil(),
                UNSUBMITTED * 100.0,
                log.planned
            ))
            .seen(format!(
                "{} planned, {unsubmitted} not submitted, {} rejected, {submitted} accepted, {included} included, {in_flight} in flight, {} lost",
                log.planned,
                log.rejected.len(),
                lost.len()
            ))
            .seen_all(latencies(cx, &log));
        for (id, submission) in lost.iter().take(LISTED) {
            failure = failure.seen(format!(
                "lost: {id}, accepted by {} in slot {}{}",
                submission.node,
                submission.slot,
                if log.blocks.contains_key(*id) {
                    ", in blocks of abandoned branches or of some nodes only"
                } else {
                    ", never in a block"
                }
            ));
        }
        if lost.len() > LISTED {
            failure = failure.seen(format!("… and {} more", lost.len() - LISTED));
        }
        if let Some((id, error)) = log.rejected.first() {
            failure = failure.seen(format!("first rejection: {id}: {error}"));
        }
        if let Some(error) = log.unanswered.last() {
            failure = failure
                .seen(format!("{} attempts without an answer, the last: {error}", log.unanswered.len()));
        }
        let (because, next) = if too_few {
            (
                "nodes accepted transactions and did not include them",
                "follow one lost id through the logs of the node that accepted it",
            )
        } else {
            (
                "the submitter was too slow, or its accounts waited for their last transaction",
                "lower the rate, or raise `users`",
            )
        };
        let places: HashSet<_> =
            lost.iter().take(LISTED).map(|(_, submission)| cx.log_place(&submission.node)).collect();
        Err(places.into_iter().fold(failure, Failure::look).because(because).try_next(next))
    }
}

/// Accepted transactions that are not yet in a block of the chain of every node that answers.
fn outstanding<'a>(feed: &BlockFeed, log: &'a Entries) -> Vec<(&'a TransactionId, &'a Submission)> {
    let answering = feed.nodes().into_iter().filter(|node| node.error.is_none());
    let tips: HashSet<HeaderId> = answering.filter_map(|node| Some(node.info?.tip)).collect();
    let on_chain = |block: &Arc<Block>, tip: HeaderId| feed.common_height(block.id, tip) == block.height;
    let on_all_chains = |id: &TransactionId| {
        let blocks = log.blocks.get(id).map_or(&[][..], Vec::as_slice);
        tips.iter().all(|tip| blocks.iter().any(|block| on_chain(block, *tip)))
    };
    log.submitted.iter().filter(|(id, _)| !on_all_chains(id)).collect()
}

/// Time from submission to the first block, as one line.
fn latencies(cx: &RunContext, log: &Entries) -> Option<String> {
    let mut times: Vec<Duration> = log
        .submitted
        .iter()
        .filter_map(|(id, submission)| {
            Some(log.blocks.get(id)?.first()?.first_seen.saturating_duration_since(submission.at))
        })
        .collect();
    times.sort_unstable();
    let last = times.len().checked_sub(1)?;
    let at = |percent: usize| times[last * percent / 100].as_secs_f64();
    let slot = cx.topology().consensus().slot.as_secs_f64();
    Some(format!(
        "inclusion took {:.1} s ({:.1} slots) at the median, {:.1} s at p95, {:.1} s at p99",
        at(50),
        at(50) / slot,
        at(95),
        at(99)
    ))
}
