//! What became of a run's blobs: planned, dispersed, refused, included, retrieved, lost.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::recalled::Read;
use crate::context::{RunContext, SlotClock};
use crate::feed::{Block, BlockFeed};
use crate::node::{BlobId, ChannelId, ClientError, HeaderId, Message, MessageId};
use crate::report::{Percentiles, mask};

/// The state that the workload and its expectation share.
#[derive(Debug, Default)]
pub struct BlobLog(Mutex<BlobEntries>);

/// What became of a run's blobs.
#[derive(Debug, Default)]
pub struct BlobEntries {
    /// How many were to be published.
    pub planned: u64,
    /// The size of each in bytes, as executors disperse it.
    pub size: usize,
    /// The size in bytes that was asked for.
    pub size_asked: usize,
    /// Channels that were opened by an inscription in a block.
    pub channels: usize,
    /// Those that were handed to an executor, in that order.
    pub fates: Vec<BlobFate>,
    /// Places in `fates` by channel and parent, which two blobs never share.
    places: HashMap<(ChannelId, MessageId), usize>,
    /// Dispersals that were repeated at another executor.
    pub retries: u64,
    /// When the feed saw that a block with one of these is final.
    pub finalized: HashMap<HeaderId, Instant>,
    holding: HashSet<HeaderId>,
}

/// What became of one blob.
#[derive(Clone, Debug)]
pub struct BlobFate {
    /// Its number in the schedule, from which its data is derived.
    pub number: usize,
    /// Its channel.
    pub channel: ChannelId,
    /// The message it follows.
    pub parent: MessageId,
    /// When it was handed to an executor.
    pub at: Instant,
    /// In which slot that was.
    pub slot: u64,
    /// The executor that dispersed it, the id and when it said so, or why all refused it; `None` while none
    /// answered.
    pub answer: Option<Result<Dispersed, ClientError>>,
    /// The blocks with its message, on all branches, as they were seen.
    pub blocks: Vec<(Arc<Block>, Message)>,
    /// What came of reading it back.
    pub retrieval: Option<Retrieval>,
    /// What came of reading it back while its executor was stopped, where that was done.
    pub without_executor: Option<Retrieval>,
}

/// An executor's answer.
#[derive(Clone, Debug)]
pub struct Dispersed {
    /// The executor.
    pub by: Arc<str>,
    /// The blob's id.
    pub id: BlobId,
    /// When it answered.
    pub at: Instant,
}

/// What came of reading a blob back.
#[derive(Clone, Debug)]
pub enum Retrieval {
    /// It is what was published.
    Same {
        /// The nodes whose shares restored it.
        from: Vec<String>,
        /// When that was so.
        at: Instant,
    },
    /// It is something else.
    Different {
        /// The nodes whose shares restored it.
        from: Vec<String>,
        /// What differs.
        how: String,
    },
    /// The nodes' shares do not restore it.
    Failed {
        /// What each node said.
        said: Vec<String>,
    },
}

impl Retrieval {
    /// Whether the blob is what was published.
    #[must_use]
    pub fn is_same(&self) -> bool {
        matches!(self, Self::Same { .. })
    }
}

impl BlobLog {
    /// Looks at the log.
    pub fn lock(&self) -> MutexGuard<'_, BlobEntries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which blobs a block tells of, and returns the places in `fates` of those not seen before.
    pub fn observe(&self, block: &Arc<Block>) -> Vec<usize> {
        let mut entries = self.lock();
        let mut new = Vec::new();
        for message in block.messages.iter().filter(|message| message.blob.is_some()) {
            let Some(&place) = entries.places.get(&(message.channel, message.parent)) else { continue };
            let fate = &mut entries.fates[place];
            if fate.blocks.is_empty() {
                new.push(place);
            }
            fate.blocks.push((Arc::clone(block), *message));
            entries.holding.insert(block.id);
        }
        new
    }

    /// Notes that a block is final.
    pub fn observe_final(&self, id: HeaderId) {
        let mut entries = self.lock();
        if entries.holding.contains(&id) {
            entries.finalized.entry(id).or_insert_with(Instant::now);
        }
    }

    /// Notes that a blob is handed to an executor; returns its place in `fates`.
    pub(super) fn handed(&self, number: usize, channel: ChannelId, parent: MessageId, slot: u64) -> usize {
        let mut entries = self.lock();
        let place = entries.fates.len();
        entries.places.insert((channel, parent), place);
        entries.fates.push(BlobFate {
            number,
            channel,
            parent,
            at: Instant::now(),
            slot,
            answer: None,
            blocks: Vec::new(),
            retrieval: None,
            without_executor: None,
        });
        place
    }
}

impl BlobFate {
    /// The blob's id, once an executor or a block told it.
    #[must_use]
    pub fn id(&self) -> Option<BlobId> {
        let told = self.dispersed().map(|dispersed| dispersed.id);
        told.or_else(|| self.blocks.first().and_then(|(_, message)| message.blob))
    }

    /// The executor's answer that it is dispersed.
    #[must_use]
    pub fn dispersed(&self) -> Option<&Dispersed> {
        self.answer.as_ref()?.as_ref().ok()
    }

    /// Whether an executor said that it is dispersed, or a block tells of it.
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.dispersed().is_some() || !self.blocks.is_empty()
    }

    /// Why all executors refused it.
    #[must_use]
    pub fn refusal(&self) -> Option<&ClientError> {
        self.answer.as_ref()?.as_ref().err().filter(|_| self.blocks.is_empty())
    }

    /// The blob in a few words: `blob 0a1b2c3d of channel 2 (number 7)`.
    #[must_use]
    pub fn describe(&self) -> String {
        let id = self.id().map_or_else(|| "without id".to_owned(), |id| id.short());
        format!("blob {id}, number {} on channel {}", self.number, index(self.channel))
    }
}

/// The number of a channel among a run's.
fn index(channel: ChannelId) -> u64 {
    u64::from_be_bytes(channel.0[24..].try_into().expect("eight bytes"))
}

impl BlobEntries {
    /// How many were planned and not handed to an executor.
    #[must_use]
    pub fn unpublished(&self) -> u64 {
        self.planned.saturating_sub(self.fates.len() as u64)
    }

    /// Places in `fates` of published blobs that are not yet in a block of the chain of every node that
    /// answers.
    #[must_use]
    pub fn not_included(&self, feed: &BlockFeed) -> HashSet<usize> {
        let chains = feed.chains();
        let on_all = |fate: &BlobFate| chains.each_has_one_of(fate.blocks.iter().map(|(block, _)| block.id));
        let missing = self.fates.iter().enumerate().filter(|(_, fate)| fate.is_published() && !on_all(fate));
        missing.map(|(place, _)| place).collect()
    }

    /// Published blobs that are not in a block everywhere, or not read back.
    #[must_use]
    pub fn outstanding(&self, feed: &BlockFeed) -> usize {
        let not_included = self.not_included(feed);
        let unread = |(place, fate): (usize, &BlobFate)| {
            let unread = matches!(fate.retrieval, None | Some(Retrieval::Failed { .. }));
            not_included.contains(&place) || (fate.is_published() && unread)
        };
        self.fates.iter().enumerate().filter(|it| unread(*it)).count()
    }

    fn finalized_at(&self, fate: &BlobFate) -> Option<Instant> {
        fate.blocks.iter().filter_map(|(block, _)| self.finalized.get(&block.id)).min().copied()
    }
}

/// What became of a run's blobs, in numbers; the report's section `blobs`. Each one's fate is a line of
/// `blobs.jsonl` beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlobSummary {
    /// Channels that were opened.
    pub channels: usize,
    /// The size of each blob in bytes that was asked for.
    pub size_asked: usize,
    /// The size in bytes to which that was rounded.
    pub size: usize,
    /// How many were to be published.
    pub planned: u64,
    /// How many of these were not handed to an executor: every channel waited for its last blob.
    pub unpublished: u64,
    /// How many an executor dispersed, or a block tells of.
    pub published: usize,
    /// How many every executor refused.
    pub refused: usize,
    /// How many no executor answered for.
    pub unanswered: usize,
    /// Dispersals that were repeated at another executor.
    pub retries: u64,
    /// How many are in a block of the chain of every node that answers.
    pub included: usize,
    /// How many are in a block that is final.
    pub finalized: usize,
    /// How many were read back as they were published.
    pub retrieved: usize,
    /// From handing to an executor until it answered, in seconds.
    pub dispersal_seconds: Option<Percentiles>,
    /// From handing to an executor until the first block with the blob was seen, in seconds.
    pub inclusion_seconds: Option<Percentiles>,
    /// The same from slot to slot.
    pub inclusion_slots: Option<Percentiles>,
    /// From the first block with the blob until it was read back, in seconds.
    pub retrieval_seconds: Option<Percentiles>,
    /// From handing to an executor until a block with the blob was seen to be final, in seconds.
    pub finality_seconds: Option<Percentiles>,
    /// The same in slots.
    pub finality_slots: Option<Percentiles>,
}

impl BlobSummary {
    /// Sums up.
    pub(crate) fn new(cx: &RunContext, entries: &BlobEntries) -> Self {
        let fates = || entries.fates.iter();
        let published = fates().filter(|fate| fate.is_published()).count();
        let included = || fates().filter_map(|fate| Some((fate, &fate.blocks.first()?.0)));
        let finalities = || fates().filter_map(|fate| Some((fate, entries.finalized_at(fate)?)));
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        let slots = |fate: &BlobFate, slot: u64| slot.saturating_sub(fate.slot) as f64;
        let retrievals = included().filter_map(|(fate, block)| match fate.retrieval {
            Some(Retrieval::Same { at, .. }) => Some(seconds(block.first_seen, at)),
            _ => None,
        });
        let dispersals = fates().filter_map(|fate| Some(seconds(fate.at, fate.dispersed()?.at)));
        let clock: SlotClock = cx.clock();
        Self {
            channels: entries.channels,
            size_asked: entries.size_asked,
            size: entries.size,
            planned: entries.planned,
            unpublished: entries.unpublished(),
            published,
            refused: fates().filter(|fate| fate.refusal().is_some()).count(),
            unanswered: fates().filter(|fate| fate.answer.is_none() && fate.blocks.is_empty()).count(),
            retries: entries.retries,
            included: published - entries.not_included(cx.feed()).len(),
            finalized: finalities().count(),
            retrieved: fates().filter(|fate| fate.retrieval.as_ref().is_some_and(Retrieval::is_same)).count(),
            dispersal_seconds: Percentiles::of(dispersals),
            inclusion_seconds: Percentiles::of(
                included().map(|(fate, block)| seconds(fate.at, block.first_seen)),
            ),
            inclusion_slots: Percentiles::of(included().map(|(fate, block)| slots(fate, block.slot))),
            retrieval_seconds: Percentiles::of(retrievals),
            finality_seconds: Percentiles::of(finalities().map(|(fate, at)| seconds(fate.at, at))),
            finality_slots: Percentiles::of(finalities().map(|(fate, at)| slots(fate, clock.at(at)))),
        }
    }

    /// The numbers in one line.
    #[must_use]
    pub fn counts(&self) -> String {
        format!(
            "{} planned, {} not handed to an executor, {} published, {} refused, {} unanswered, {} included, {} final, {} read back",
            self.planned,
            self.unpublished,
            self.published,
            self.refused,
            self.unanswered,
            self.included,
            self.finalized,
            self.retrieved,
        )
    }
}

impl BlobEntries {
    /// Writes a line per blob into `blobs.jsonl` in the run's directory; its seconds are the run's.
    pub(crate) fn list(&self, cx: &RunContext) -> std::io::Result<()> {
        let not_included = self.not_included(cx.feed());
        let mut lines = String::new();
        for (place, fate) in self.fates.iter().enumerate() {
            let read = fate.retrieval.as_ref();
            let stage = match (&fate.answer, read) {
                _ if fate.refusal().is_some() => "refused",
                (None, _) if fate.blocks.is_empty() => "unanswered",
                _ if not_included.contains(&place) => "dispersed",
                (_, Some(retrieval)) if retrieval.is_same() => "read back",
                _ => "included",
            };
            let told = |retrieval: &Option<Retrieval>| Some(Read::of(retrieval.clone()?, cx));
            let mut line = json!({
                "number": fate.number,
                "id": fate.id().map(|id| id.to_string()),
                "channel": fate.channel,
                "parent": fate.parent,
                "stage": stage,
                "slot": fate.slot,
                "second": cx.second_of(fate.at),
                "executor": fate.dispersed().map(|dispersed| &*dispersed.by),
                "dispersed_second": fate.dispersed().map(|dispersed| cx.second_of(dispersed.at)),
                "error": fate.refusal().map(ToString::to_string),
                "refusal": fate.answer.as_ref().and_then(|answer| answer.as_ref().err()),
                "blocks": fate.blocks.iter().map(|(block, message)| json!({ "id": block.id, "height": block.height, "slot": block.slot, "message": message.id })).collect::<Vec<_>>(),
                "retrieval": told(&fate.retrieval),
                "without_executor": told(&fate.without_executor),
                "final_second": self.finalized_at(fate).map(|at| cx.second_of(at)),
            });
            mask::value(&mut line);
            writeln!(lines, "{line}").expect("a string can be written to");
        }
        std::fs::write(cx.directory().join("blobs.jsonl"), lines)
    }
}
