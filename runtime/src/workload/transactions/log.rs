//! What became of a run's transactions: planned, submitted, rejected, included, final, lost.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use crate::context::{RunContext, SlotClock};
use crate::feed::{Block, BlockFeed};
use crate::node::{ClientError, HeaderId, TransactionId};
use crate::report::{Percentiles, mask};

/// The state that the workload and its expectation share.
#[derive(Debug, Default)]
pub struct TransactionLog(Mutex<Entries>);

/// What became of a run's transactions.
#[derive(Debug, Default)]
pub struct Entries {
    /// How many were to be submitted.
    pub planned: u64,
    /// Those that were handed to a node.
    pub fates: HashMap<TransactionId, Fate>,
    /// Ids whose refusal the workload has not seen yet.
    pub(super) refused: Vec<TransactionId>,
    /// Requests without an answer; they were repeated.
    pub silences: u64,
    /// The last of these.
    pub last_silence: Option<ClientError>,
    /// Most accounts waited for a block when the workload ended, so that it could not submit more.
    pub accounts_waited: bool,
    /// When the feed saw that a block with one of these is final.
    pub finalized: HashMap<HeaderId, Instant>,
    /// Blocks that hold one of these.
    holding: HashSet<HeaderId>,
}

/// What became of one transaction.
#[derive(Clone, Debug)]
pub struct Fate {
    /// When it was submitted.
    pub at: Instant,
    /// In which slot that was.
    pub slot: u64,
    /// When a node said that it accepted it, or a block showed it.
    pub pooled: Option<Instant>,
    /// What came of that; `None` while no node answered.
    pub answer: Option<Result<Arc<str>, Box<ClientError>>>,
    /// The blocks it is in, on all branches, as they were seen.
    pub blocks: Vec<Arc<Block>>,
}

impl Fate {
    pub(super) fn new(slot: u64) -> Self {
        Self { at: Instant::now(), slot, pooled: None, answer: None, blocks: Vec::new() }
    }

    /// The node that accepted it.
    #[must_use]
    pub fn accepted_by(&self) -> Option<&str> {
        self.answer.as_ref()?.as_deref().ok()
    }
}

impl TransactionLog {
    /// Looks at the log.
    pub fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which of the transactions are in a block: it may be seen before the answer to a submission.
    pub fn observe(&self, block: &Arc<Block>) {
        let mut entries = self.lock();
        for id in &block.transactions {
            let Some(fate) = entries.fates.get_mut(id) else { continue };
            fate.blocks.push(Arc::clone(block));
            if fate.answer.is_none() {
                fate.answer = Some(Ok("a node whose answer was lost".into()));
                fate.pooled = Some(block.first_seen);
            }
            entries.holding.insert(block.id);
        }
    }

    /// Notes that a block is final.
    pub fn observe_final(&self, id: HeaderId) {
        let mut entries = self.lock();
        if entries.holding.contains(&id) {
            entries.finalized.entry(id).or_insert_with(Instant::now);
        }
    }

    /// Notes a node's answer; whether that decides.
    pub(super) fn answered(
        &self,
        id: TransactionId,
        node: &str,
        answer: Result<(), ClientError>,
        is_not_now: impl Fn(&ClientError) -> bool,
        is_known: impl Fn(&ClientError) -> bool,
    ) -> bool {
        let mut entries = self.lock();
        let answer = match answer {
            Err(error) if is_not_now(&error) => {
                entries.silences += 1;
                entries.last_silence = Some(error);
                // Perhaps it is in a block, though no node said that it took it.
                return entries.fates.get(&id).is_some_and(|fate| fate.answer.is_some());
            }
            Err(error) if !is_known(&error) => {
                entries.refused.push(id);
                Err(error)
            }
            _ => Ok(node.into()),
        };
        if let Some(fate) = entries.fates.get_mut(&id) {
            if answer.is_ok() {
                fate.pooled.get_or_insert_with(Instant::now);
            }
            fate.answer = Some(answer.map_err(Box::new));
        }
        true
    }
}

impl Entries {
    /// Those that a node accepted.
    pub fn accepted(&self) -> impl Iterator<Item = (&TransactionId, &Fate)> {
        self.fates.iter().filter(|(_, fate)| matches!(fate.answer, Some(Ok(_))))
    }

    /// Those that a node refused, and why.
    pub fn rejected(&self) -> impl Iterator<Item = (&TransactionId, &ClientError)> {
        self.fates.iter().filter_map(|(id, fate)| Some((id, &**fate.answer.as_ref()?.as_ref().err()?)))
    }

    /// How many were planned and not submitted.
    #[must_use]
    pub fn unsubmitted(&self) -> u64 {
        self.planned.saturating_sub(self.fates.len() as u64)
    }

    /// Whether all that was planned was submitted, and all that was accepted is included.
    #[must_use]
    pub fn is_done(&self, feed: &BlockFeed) -> bool {
        self.planned > 0
            && self.unsubmitted() == 0
            && self.fates.values().all(|fate| fate.answer.is_some())
            && self.outstanding(feed).is_empty()
    }

    /// Requests without an answer in one line, if there were any.
    #[must_use]
    pub fn last_silence(&self) -> Option<String> {
        let error = self.last_silence.as_ref()?;
        Some(format!("{} requests without an answer, the last: {error}", self.silences))
    }

    /// Accepted transactions that are not yet in a block of the chain of every node that answers.
    #[must_use]
    pub fn outstanding(&self, feed: &BlockFeed) -> Vec<(TransactionId, &Fate)> {
        let chains = feed.chains();
        let on_all = |fate: &Fate| chains.each_has_one_of(fate.blocks.iter().map(|block| block.id));
        self.accepted().filter(|(_, fate)| !on_all(fate)).map(|(id, fate)| (*id, fate)).collect()
    }

    fn finalized_at(&self, fate: &Fate) -> Option<Instant> {
        fate.blocks.iter().filter_map(|block| self.finalized.get(&block.id)).min().copied()
    }
}

/// What became of a run's transactions, in numbers; the report's section `transactions`. Each one's fate
/// is a line of `transactions.jsonl` beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many were to be submitted.
    pub planned: u64,
    /// How many of these were not.
    pub unsubmitted: u64,
    /// How many a node accepted.
    pub submitted: u64,
    /// How many a node refused.
    pub rejected: u64,
    /// How many no node answered for.
    pub unanswered: u64,
    /// How many are in a block of the chain of every node that answers.
    pub included: u64,
    /// How many are in a block that is final.
    pub finalized: u64,
    /// How many are not in such a block and may still be: the run was cut short.
    pub in_flight: u64,
    /// Ids of those that are not, though they had their time.
    pub lost: Vec<TransactionId>,
    /// From submission until a node said that it accepted it, in seconds.
    #[serde(default)]
    pub pooled_seconds: Option<Percentiles>,
    /// From submission until the first block with it was seen, in seconds.
    pub inclusion_seconds: Option<Percentiles>,
    /// From the slot of submission to that of the first block with it.
    pub inclusion_slots: Option<Percentiles>,
    /// From submission until a block with it was seen to be final, in seconds.
    pub finality_seconds: Option<Percentiles>,
    /// The same in slots.
    pub finality_slots: Option<Percentiles>,
}

impl Summary {
    /// Sums up, and says which transactions are lost: accepted at least `time_to_land` ago and outstanding.
    pub(crate) fn new(cx: &RunContext, entries: &Entries) -> Self {
        let outstanding = entries.outstanding(cx.feed());
        let is_lost = |fate: &Fate| fate.at.elapsed() >= cx.time_to_land();
        let mut lost: Vec<_> =
            outstanding.iter().filter(|(_, fate)| is_lost(fate)).map(|(id, _)| *id).collect();
        lost.sort_unstable();
        let submitted = entries.accepted().count();
        let inclusions = || entries.accepted().filter_map(|(_, fate)| Some((fate, fate.blocks.first()?)));
        let finalities = || {
            let fates = entries.accepted().map(|(_, fate)| fate);
            fates.filter_map(|fate| Some((fate, entries.finalized_at(fate)?)))
        };
        let seconds = |fate: &Fate, at: Instant| at.saturating_duration_since(fate.at).as_secs_f64();
        let slots = |fate: &Fate, slot: u64| slot.saturating_sub(fate.slot) as f64;
        let clock: SlotClock = cx.clock();
        Self {
            planned: entries.planned,
            unsubmitted: entries.unsubmitted(),
            submitted: submitted as u64,
            rejected: entries.rejected().count() as u64,
            unanswered: entries.fates.values().filter(|fate| fate.answer.is_none()).count() as u64,
            included: (submitted - outstanding.len()) as u64,
            finalized: finalities().count() as u64,
            in_flight: (outstanding.len() - lost.len()) as u64,
            lost,
            pooled_seconds: Percentiles::of(
                entries.accepted().filter_map(|(_, fate)| Some(seconds(fate, fate.pooled?))),
            ),
            inclusion_seconds: Percentiles::of(
                inclusions().map(|(fate, block)| seconds(fate, block.first_seen)),
            ),
            inclusion_slots: Percentiles::of(inclusions().map(|(fate, block)| slots(fate, block.slot))),
            finality_seconds: Percentiles::of(finalities().map(|(fate, at)| seconds(fate, at))),
            finality_slots: Percentiles::of(finalities().map(|(fate, at)| slots(fate, clock.at(at)))),
        }
    }

    /// The numbers in one line.
    #[must_use]
    pub fn counts(&self) -> String {
        format!(
            "{} planned, {} not submitted, {} accepted, {} rejected, {} unanswered, {} included, {} final, {} in flight, {} lost",
            self.planned,
            self.unsubmitted,
            self.submitted,
            self.rejected,
            self.unanswered,
            self.included,
            self.finalized,
            self.in_flight,
            self.lost.len()
        )
    }

    /// How long inclusion took, in one line.
    #[must_use]
    pub fn latency(&self) -> Option<String> {
        let (seconds, slots) = (self.inclusion_seconds?, self.inclusion_slots?);
        Some(format!("inclusion took {seconds} seconds; {slots} slots"))
    }
}

impl Entries {
    /// Writes a line per transaction into `transactions.jsonl` in the run's directory; its seconds are the run's.
    pub(crate) fn list(&self, cx: &RunContext, summary: &Summary) -> std::io::Result<()> {
        let lost: HashSet<_> = summary.lost.iter().collect();
        let mut fates: Vec<_> = self.fates.iter().collect();
        fates.sort_by_key(|(id, fate)| (fate.at, **id));
        let mut lines = String::new();
        for (id, fate) in fates {
            let finalized = self.finalized_at(fate);
            let state = match &fate.answer {
                None => "unanswered",
                Some(Err(_)) => "rejected",
                Some(Ok(_)) if lost.contains(id) => "lost",
                Some(Ok(_)) if finalized.is_some() => "final",
                Some(Ok(_)) if fate.blocks.is_empty() => "in flight",
                Some(Ok(_)) => "included",
            };
            let refusal = fate.answer.as_ref().and_then(|answer| answer.as_ref().err());
            let mut line = json!({
                "id": id,
                "state": state,
                "slot": fate.slot,
                "second": cx.second_of(fate.at),
                "node": fate.accepted_by(),
                "pooled_second": fate.pooled.map(|at| cx.second_of(at)),
                "error": refusal.map(ToString::to_string),
                "refusal": refusal,
                "blocks": fate.blocks.iter().map(|block| json!({ "id": block.id, "height": block.height, "slot": block.slot })).collect::<Vec<_>>(),
                "final_second": finalized.map(|at| cx.second_of(at)),
            });
            mask::value(&mut line);
            writeln!(lines, "{line}").expect("a string can be written to");
        }
        std::fs::write(cx.directory().join("transactions.jsonl"), lines)
    }
}
