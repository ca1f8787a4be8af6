//! What was published in a run that is over, each blob when its time comes, and what was read of it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::log::{BlobLog, BlobSummary, Dispersed, Retrieval};
use crate::context::RunContext;
use crate::node::{BlobId, ChannelId, ClientError, HeaderId, Message, MessageId};
use crate::replay::Recording;
use crate::wait::pause_until;

/// A line of `blobs.jsonl`, as far as it tells what was done.
#[derive(Clone, Deserialize)]
struct Line {
    number: usize,
    id: Option<String>,
    channel: ChannelId,
    parent: MessageId,
    slot: u64,
    second: f64,
    executor: Option<String>,
    dispersed_second: Option<f64>,
    refusal: Option<ClientError>,
    blocks: Vec<InBlock>,
    retrieval: Option<Read>,
    without_executor: Option<Read>,
}

#[derive(Clone, Deserialize)]
struct InBlock {
    id: HeaderId,
    message: MessageId,
}

/// What came of reading a blob back, with the second of the run.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Read {
    Same { from: Vec<String>, second: f64 },
    Different { from: Vec<String>, how: String },
    Failed { said: Vec<String> },
}

impl Read {
    pub(super) fn of(retrieval: Retrieval, cx: &RunContext) -> Self {
        match retrieval {
            Retrieval::Same { from, at } => Self::Same { from, second: cx.second_of(at) },
            Retrieval::Different { from, how } => Self::Different { from, how },
            Retrieval::Failed { said } => Self::Failed { said },
        }
    }

    fn retrieval(self, recording: &Recording) -> Retrieval {
        match self {
            Self::Same { from, second } => Retrieval::Same { from, at: recording.at(second) },
            Self::Different { from, how } => Retrieval::Different { from, how },
            Self::Failed { said } => Retrieval::Failed { said },
        }
    }
}

/// What happened to a blob.
enum Happened {
    Handed,
    Answered(Result<Dispersed, ClientError>),
    Read(Retrieval),
    ReadWithoutExecutor(Retrieval),
}

/// The messages of the run's blobs in each block.
pub(crate) fn messages(recording: &Recording) -> HashMap<HeaderId, Vec<Message>> {
    let mut messages = HashMap::<_, Vec<_>>::new();
    for line in recording.lines::<Line>("blobs.jsonl").unwrap_or_default() {
        let (channel, parent, blob) = (line.channel, line.parent, blob(&line));
        for InBlock { id, message } in line.blocks {
            messages.entry(id).or_default().push(Message { channel, id: message, parent, blob });
        }
    }
    messages
}

fn blob(line: &Line) -> Option<BlobId> {
    hex::decode(line.id.as_ref()?).ok()?.try_into().ok().map(BlobId)
}

pub(super) async fn recall(cx: &RunContext, recording: &Recording) -> Result<(), String> {
    recording.demand_last(cx.number(), "blobs")?;
    let lines: Vec<Line> = recording.lines("blobs.jsonl")?;
    let BlobSummary { planned, size, size_asked, channels, retries, .. } =
        recording.section(cx.number(), "blobs")?;
    let log = cx.state::<BlobLog>();
    {
        let mut entries = log.lock();
        (entries.planned, entries.size, entries.size_asked) = (planned, size, size_asked);
        (entries.channels, entries.retries) = (channels, retries);
    }
    let mut all: Vec<_> =
        lines.iter().enumerate().flat_map(|(place, line)| happened(recording, place, line)).collect();
    all.sort_by_key(|(at, ..)| *at);
    for (at, place, what) in all {
        // What was read while things settled is known when the run is told to.
        tokio::select! {
            () = pause_until(at) => {}
            () = cx.stopping() => {}
        }
        let Line { number, channel, parent, slot, .. } = lines[place];
        if let Happened::Handed = what {
            log.handed(number, channel, parent, slot);
            continue;
        }
        // They are handed in the order of the file.
        let mut entries = log.lock();
        let Some(fate) = entries.fates.get_mut(place) else { continue };
        match what {
            Happened::Handed => {}
            Happened::Answered(answer) => fate.answer = Some(answer),
            Happened::Read(retrieval) => fate.retrieval = Some(retrieval),
            Happened::ReadWithoutExecutor(retrieval) => fate.without_executor = Some(retrieval),
        }
    }
    Ok(())
}

/// Everything that happened to one blob, in its order.
fn happened(recording: &Recording, place: usize, line: &Line) -> Vec<(Instant, usize, Happened)> {
    let handed = recording.at(line.second);
    let answered = recording.at(line.dispersed_second.unwrap_or(line.second));
    let dispersed = || {
        let by = line.executor.as_deref()?.into();
        Some(Dispersed { by, id: blob(line)?, at: answered })
    };
    let answer = line.refusal.clone().map(Err).or_else(|| dispersed().map(Ok));
    let read = line.retrieval.clone().map(|read| read.retrieval(recording));
    let read_at = match &read {
        Some(Retrieval::Same { at, .. }) => *at,
        _ => answered,
    };
    let without = line.without_executor.clone().map(|read| read.retrieval(recording));
    let all = [
        Some((handed, place, Happened::Handed)),
        answer.map(|answer| (answered, place, Happened::Answered(answer))),
        read.map(|read| (read_at, place, Happened::Read(read))),
        without.map(|read| (answered, place, Happened::ReadWithoutExecutor(read))),
    ];
    all.into_iter().flatten().collect()
}
