//! Opens channels, and publishes what the schedule says on them.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::log::{BlobFate, BlobLog, Dispersed};
use super::schedule::{BlobSchedule, ScheduledBlob, payload};
use crate::context::RunContext;
use crate::deployer::NodeStatus;
use crate::failure::{Failure, FailureClass};
use crate::feed::Event;
use crate::node::{ChannelId, ClientError, DataAvailability, Dispersal, Message, MessageId, NodeClient};
use crate::topology::Role;
use crate::wait::pause;
use crate::workload::Counters;
use crate::workload::pace::Start;

/// How long after the window's end executors' answers are awaited: longer than a healthy one takes.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// Until all nodes are tried again, when none answered.
const RETRY: Duration = Duration::from_millis(250);
/// How often a blob goes round all executors before it counts as refused.
const ROUNDS: usize = 3;

/// A channel and what it waits for.
struct Lane {
    id: ChannelId,
    state: LaneState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaneState {
    /// For the block with its inscription.
    Opens(MessageId),
    /// For nothing: the next blob follows this message.
    Free(MessageId),
    /// For the block with the blob that follows this message.
    Publishes(MessageId),
    /// For nothing any more: executors refused its blob.
    Closed,
}

pub(super) struct Publisher {
    cx: RunContext,
    log: Arc<BlobLog>,
    lanes: Vec<Lane>,
    /// Lanes that could publish now.
    free: BTreeSet<usize>,
    size: usize,
    inscribing: JoinSet<()>,
    dispersing: JoinSet<Option<usize>>,
    /// Executors that do not run.
    down: BTreeSet<Arc<str>>,
    /// Places in the log of blobs that were handed out again, and the executors that may have lost them.
    again: HashSet<(usize, Arc<str>)>,
    start: Start,
}

fn codec(cx: &RunContext) -> &dyn DataAvailability {
    cx.program().data().expect("`build` refuses blobs where the program keeps no data")
}

impl Publisher {
    /// Opens the channels.
    pub(super) fn new(cx: &RunContext, channels: usize, size_asked: usize) -> Self {
        let size = codec(cx).blob_size(size_asked);
        let log: Arc<BlobLog> = cx.state();
        {
            let mut entries = log.lock();
            (entries.size, entries.size_asked) = (size, size_asked);
        }
        let mut publisher = Self {
            cx: cx.clone(),
            log,
            lanes: Vec::new(),
            free: BTreeSet::new(),
            size,
            inscribing: JoinSet::new(),
            dispersing: JoinSet::new(),
            down: BTreeSet::new(),
            again: HashSet::new(),
            start: Start::of(cx),
        };
        for index in 0..channels {
            publisher.open(index);
        }
        publisher
    }

    fn open(&mut self, index: usize) {
        let id = self.cx.channel(index);
        let text = format!("channel {index} of {}", self.cx.run_id());
        let inscription = codec(&self.cx).inscription(id, MessageId::NONE, text.as_bytes());
        self.lanes.push(Lane { id, state: LaneState::Opens(inscription.message) });
        let mut nodes = self.cx.node_clients().all().to_vec();
        nodes.shuffle(&mut self.cx.seed(&format!("channel {index}")));
        self.inscribing.spawn(async move {
            loop {
                for node in &nodes {
                    let answer = node.submit_transaction(&inscription.body).await;
                    match answer {
                        Err(error) if error.is_unreachable() || is_busy(&error) => {}
                        // A refusal shows when the channel stays closed.
                        _ => return,
                    }
                }
                pause(RETRY).await;
            }
        });
    }

    /// Publishes what is due until all of it is published or the window ends.
    pub(super) async fn run(mut self, BlobSchedule(schedule): &BlobSchedule) -> Result<Counters, Failure> {
        self.log.lock().planned = schedule.len() as u64;
        let cx = self.cx.clone();
        let mut feed = cx.feed().subscribe();
        let stopping = cx.stopping();
        tokio::pin!(stopping);
        let mut version = 0;
        for scheduled in schedule {
            loop {
                let (due, can_publish) = (self.start.until(scheduled.due, &cx), !self.free.is_empty());
                tokio::select! {
                    biased;
                    () = &mut stopping => return self.finish().await,
                    event = feed.next() => self.observe(&event),
                    Some(_) = self.inscribing.join_next() => {}
                    Some(refused) = self.dispersing.join_next() => {
                        self.close(refused.ok().flatten());
                        self.disperse_again();
                    }
                    Ok(states) = cx.node_states_after(version) => {
                        version = states.version;
                        let down = states.nodes.iter().filter(|node| !matches!(node.status, NodeStatus::Running | NodeStatus::Paused));
                        self.down = down.map(|node| node.name.as_str().into()).collect();
                        self.disperse_again();
                    }
                    () = due, if can_publish => break,
                }
            }
            self.publish(*scheduled);
        }
        self.finish().await
    }

    fn observe(&mut self, event: &Event) {
        let Event::Block(block) = event else { return };
        for message in &block.messages {
            if let Some(index) = self.lanes.iter().position(|lane| lane.id == message.channel) {
                self.advance(index, message);
            }
        }
    }

    /// Lets a lane publish its next blob when its last message is in a block.
    fn advance(&mut self, index: usize, message: &Message) {
        match self.lanes[index].state {
            LaneState::Opens(inscription) if inscription == message.id => self.log.lock().channels += 1,
            LaneState::Publishes(parent) if parent == message.parent && message.blob.is_some() => {}
            _ => return,
        }
        self.lanes[index].state = LaneState::Free(message.id);
        self.free.insert(index);
    }

    fn close(&mut self, refused: Option<usize>) {
        if let Some(index) =
            refused.filter(|index| matches!(self.lanes[*index].state, LaneState::Publishes(_)))
        {
            self.lanes[index].state = LaneState::Closed;
        }
    }

    /// Publishes a blob on the channel whose turn it is, or on the next one that is free.
    fn publish(&mut self, blob: ScheduledBlob) {
        let next = self.free.range(blob.channel..).next().or_else(|| self.free.first());
        let Some(index) = next.copied().and_then(|index| self.free.take(&index)) else { return };
        let lane = &mut self.lanes[index];
        let LaneState::Free(parent) = lane.state else { return };
        lane.state = LaneState::Publishes(parent);
        let place = self.log.handed(blob.number, lane.id, parent, self.cx.clock().now());
        let (log, executors, dispersal) =
            (Arc::clone(&self.log), self.executors(blob.executor), self.dispersal(place));
        self.dispersing
            .spawn(async move { disperse(&log, place, &executors, &dispersal).await.err().map(|()| index) });
    }

    /// Hands what an executor dispersed that does not run any more, and no block tells of, to the others: an executor
    /// that is killed takes with it what it had not passed on.
    fn disperse_again(&mut self) {
        let lost = |fate: &BlobFate| {
            let by = &fate.dispersed()?.by;
            (fate.blocks.is_empty() && self.down.contains(by)).then(|| Arc::clone(by))
        };
        let lost: Vec<_> = self
            .log
            .lock()
            .fates
            .iter()
            .enumerate()
            .filter_map(|(place, fate)| Some((place, lost(fate)?)))
            .collect();
        for (place, by) in lost {
            let mut executors = self.executors(0);
            executors.retain(|executor| !self.down.contains(executor.name()));
            if executors.is_empty() || !self.again.insert((place, by)) {
                continue;
            }
            let (log, dispersal) = (Arc::clone(&self.log), self.dispersal(place));
            log.lock().retries += 1;
            self.dispersing.spawn(async move {
                // Where all refuse, the first answer stands, and the lane waits on.
                let _ = disperse(&log, place, &executors, &dispersal).await;
                None
            });
        }
    }

    /// The executors, from one of them on.
    fn executors(&self, first: usize) -> Vec<NodeClient> {
        let mut executors: Vec<_> =
            self.cx.node_clients().with_role(Role::Executor).into_iter().cloned().collect();
        executors.rotate_left(first);
        executors
    }

    /// What disperses a blob that is in the log.
    fn dispersal(&self, place: usize) -> Dispersal {
        let (number, channel_id, parent_msg_id) = {
            let fate = &self.log.lock().fates[place];
            (fate.number, fate.channel, fate.parent)
        };
        let data = payload(self.cx.run_seed(), number, self.size);
        Dispersal { channel_id, parent_msg_id, signer: codec(&self.cx).signer(), data }
    }

    /// Awaits the answers to what was handed out; says so if no channel could be opened.
    async fn finish(mut self) -> Result<Counters, Failure> {
        let answered = async { while self.dispersing.join_next().await.is_some() {} };
        // What has no answer by then is told as unanswered.
        let _ = tokio::time::timeout(LAST_ANSWERS, answered).await;
        let log = self.log.lock();
        if log.channels == 0 && !self.cx.was_cut_short() {
            return Err(Failure::new(FailureClass::Product, "blobs")
                .expected(format!("the inscriptions of {} channels in blocks", self.lanes.len()))
                .seen("none of them within the window")
                .because("a channel is opened by an inscription, and no blob can be published before")
                .try_next("look for the inscriptions in the nodes' logs, or lengthen the window"));
        }
        Ok(Counters::default()
            .with("channels", log.channels as u64)
            .with("published", log.fates.iter().filter(|fate| fate.is_published()).count() as u64)
            .with("refused", log.fates.iter().filter(|fate| fate.refusal().is_some()).count() as u64)
            .with("unpublished", log.unpublished()))
    }
}

/// Hands a blob to one executor after the other, until one dispersed it or a block tells of it.
///
/// It is the same request each time: if an executor published the blob and its answer was lost, the next one
/// makes the same message again, and never another under that parent.
async fn disperse(
    log: &BlobLog,
    place: usize,
    executors: &[NodeClient],
    dispersal: &Dispersal,
) -> Result<(), ()> {
    for round in 0..ROUNDS {
        for (tried, executor) in executors.iter().enumerate() {
            if !log.lock().fates[place].blocks.is_empty() {
                return Ok(());
            }
            if round + tried > 0 {
                log.lock().retries += 1;
            }
            match executor.disperse(dispersal).await {
                Ok(id) => {
                    let dispersed = Dispersed { by: executor.name().into(), id, at: Instant::now() };
                    log.lock().fates[place].answer = Some(Ok(dispersed));
                    return Ok(());
                }
                // Why the last one refused is told, unless one dispersed it before.
                Err(error) => {
                    let fate = &mut log.lock().fates[place];
                    if fate.dispersed().is_none() {
                        fate.answer = Some(Err(error));
                    }
                }
            }
        }
        pause(RETRY).await;
    }
    Err(())
}

/// Whether the same node may take the transaction later.
fn is_busy(error: &ClientError) -> bool {
    matches!(error, ClientError::Status { status: 408 | 429 | 503, .. })
}
