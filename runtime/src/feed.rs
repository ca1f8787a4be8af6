//! One follower of the chain, many listeners.
//!
//! A [`BlockFeed`] follows every node on its own, by the node's block stream where it has one and by asking
//! for its tip, fetches each block once from whichever node has it first, and keeps the tree of all of
//! them. A node that dies is missed by nobody: what it would have told, the others tell.
//!
//! Listeners read [events](Event) at their own pace from one history, so a slow one loses nothing until it
//! is [`HISTORY`] events behind; then it is told how many it missed, and goes on. A block costs about 800 bytes of
//! memory with its events and 32 per transaction, as measured, and is forgotten with its event: until then the
//! memory of a run grows by that, and by what its workloads note of each thing they submit.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::node::{ConsensusInfo, HeaderId, Message, NodeClient, NodeProgram, TransactionId};
use crate::report::Percentiles;

mod follower;
#[cfg(test)]
mod tests;
mod told;
mod tree;
use tree::Tree;

/// Events that are kept: three days of a chain with two-second slots.
pub const HISTORY: usize = 1 << 18;

/// A block as the feed saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its id.
    pub id: HeaderId,
    /// Id of the block before it.
    pub parent: HeaderId,
    /// Slot in which it was made.
    pub slot: u64,
    /// Blocks from genesis to it; genesis has 0 and is not in the feed.
    pub height: u64,
    /// Public key of its maker, in hex.
    pub proposer: String,
    /// Ids of its transactions, in order.
    pub transactions: Vec<TransactionId>,
    /// What its transactions write into channels, in order.
    pub messages: Vec<Message>,
    /// When the feed saw it first.
    pub first_seen: Instant,
    /// The node from which the feed had it first.
    pub seen_at: Arc<str>,
}

/// Something that happened to the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A block not seen before; its parent came before it.
    Block(Arc<Block>),
    /// The best chain is another branch now.
    Reorg {
        /// The best tip before.
        from: HeaderId,
        /// The best tip now.
        to: HeaderId,
        /// Blocks of the old branch that the new one does not have.
        depth: u64,
    },
    /// A block is final on some node.
    Finalized {
        /// The block.
        id: HeaderId,
    },
    /// The listener was too slow: so many events before the next one are forgotten.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// What one node said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The node.
    pub name: Arc<str>,
    /// Its last answer, all of whose blocks the feed has.
    pub info: Option<ConsensusInfo>,
    /// When it gave that answer.
    pub answered: Option<Instant>,
    /// Why it gave none since.
    pub error: Option<String>,
}

impl NodeView {
    /// Height of the node's tip; 0 before it answered.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.info.as_ref().map_or(0, |info| info.height)
    }

    /// The node in one line, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match (&self.info, &self.error) {
            (Some(info), error) => {
                let silent = error.as_ref().map(|error| format!(", silent since: {error}"));
                format!(
                    "{}: height {}, tip {} in slot {}, LIB {}{}",
                    self.name,
                    info.height,
                    info.tip.short(),
                    info.slot,
                    info.lib.short(),
                    silent.unwrap_or_default()
                )
            }
            (None, Some(error)) => format!("{}: never answered: {error}", self.name),
            (None, None) => format!("{}: not asked yet", self.name),
        }
    }
}

/// Follows the chain of all nodes. Cheap to clone; ends with the last clone.
///
/// ```
/// # use logos_scenario_runtime::fake;
/// # fake::in_no_time(async {
/// # let (runner, scenario) = fake::example().await?;
/// use logos_scenario_runtime::Event;
///
/// let feed = runner.feed();
/// let mut events = feed.subscribe();
/// while feed.best_height() < 10 {
///     if let Event::Block(block) = events.next().await {
///         println!("{} at height {} with {} transactions", block.id, block.height, block.transactions.len());
///     }
/// }
/// for node in feed.nodes() {
///     println!("{}", node.describe());
/// }
/// let tip = feed.nodes()[0].info.as_ref().ok_or("it answers")?.tip;
/// assert!(feed.chain(tip).windows(2).all(|pair| pair[0].parent == pair[1].id));
/// println!("{:?} between blocks", feed.stats().interval);
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct BlockFeed {
    shared: Arc<Shared>,
    /// Where [`replay`](Self::replay) begins.
    origin: u64,
    _followers: Arc<JoinSet<()>>,
}

debug_as!(BlockFeed, |this| height: this.best_height());

struct Shared {
    tree: Mutex<Tree>,
    /// Counts changes of the tree, so that listeners know when to look.
    changes: watch::Sender<u64>,
    program: Arc<dyn NodeProgram>,
    slot: Duration,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockFeed {
    /// Follows the chain that `clients` make: by each node's block stream, and where it has none by asking
    /// for its tip four times a slot and at least every 250 ms.
    #[must_use]
    pub fn start(clients: &[NodeClient], program: Arc<dyn NodeProgram>, slot: Duration) -> Self {
        Self::start_above(0, clients, program, slot)
    }

    /// [`start`](Self::start) on a chain that is there already: blocks up to this height are not fetched, and all chains
    /// are taken to share them.
    pub(crate) fn start_above(
        height: u64,
        clients: &[NodeClient],
        program: Arc<dyn NodeProgram>,
        slot: Duration,
    ) -> Self {
        let names = clients.iter().map(NodeClient::name);
        Self::follow(Tree::new(names, height, HISTORY), clients, program, slot)
    }

    fn follow(tree: Tree, clients: &[NodeClient], program: Arc<dyn NodeProgram>, slot: Duration) -> Self {
        let tree = Mutex::new(tree);
        let shared = Arc::new(Shared { tree, changes: watch::Sender::new(0), program, slot });
        let mut followers = JoinSet::new();
        for (index, client) in clients.iter().cloned().enumerate() {
            followers.spawn(follower::follow(Arc::clone(&shared), index, client));
        }
        Self { shared, origin: 0, _followers: Arc::new(followers) }
    }

    /// The same feed for whoever uses the cluster from now on: [`replay`](Self::replay) begins here.
    #[must_use]
    pub(crate) fn leased(&self) -> Self {
        Self { origin: self.shared.lock().history.end(), ..self.clone() }
    }

    /// Completes when each of these nodes has answered once, so that no baseline is taken of a node not yet
    /// seen.
    pub(crate) async fn complete(&self, names: impl Iterator<Item = &str> + Clone) {
        let waits_for =
            |view: &NodeView| view.info.is_none() && names.clone().any(|name| *name == *view.name);
        let seen = || !self.nodes().iter().any(waits_for);
        // The sender lives in `shared`, which this feed holds.
        let _ = self.changes().wait_for(|_| seen()).await;
    }

    /// Listens to what happens from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let next = self.shared.lock().history.end();
        Subscription { shared: Arc::clone(&self.shared), changes: self.changes(), next }
    }

    /// Listens to everything since the run that this feed is for got its cluster.
    #[must_use]
    pub fn replay(&self) -> Subscription {
        Subscription { next: self.origin, ..self.subscribe() }
    }

    /// A receiver that is woken by every change, of blocks and of what nodes said.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// What each node said last, in the topology's order.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView> {
        self.shared.lock().nodes.clone()
    }

    /// Height of the best chain that was seen.
    #[must_use]
    pub fn best_height(&self) -> u64 {
        self.shared.lock().best.map_or(0, |(_, height)| height)
    }

    /// A block by its id; `None` for genesis and what was not seen.
    #[must_use]
    pub fn block(&self, id: HeaderId) -> Option<Arc<Block>> {
        self.shared.lock().block(id).cloned()
    }

    /// The chain that ends in `tip`, newest block first, down to genesis, which it has not; on a cluster that others used
    /// before, as far down as blocks were not final when the run began.
    #[must_use]
    pub fn chain(&self, tip: HeaderId) -> Vec<Arc<Block>> {
        self.shared.lock().chain(tip).cloned().collect()
    }

    /// The chains of all nodes that answer; where none does, those that they told last.
    #[must_use]
    pub fn chains(&self) -> Chains {
        let nodes = self.nodes();
        let silent = nodes.iter().all(|node| node.error.is_some());
        let telling = nodes.into_iter().filter(|node| silent || node.error.is_none());
        let tips: HashSet<HeaderId> = telling.filter_map(|node| Some(node.info?.tip)).collect();
        let chain = |tip: &HeaderId| self.chain(*tip).iter().map(|block| block.id).collect();
        Chains(tips.iter().map(chain).collect())
    }

    /// The height of the last block that the chains of two tips share; 0 is genesis. What is older than the feed is taken
    /// to be shared.
    #[must_use]
    pub fn common_height(&self, one: HeaderId, other: HeaderId) -> u64 {
        self.shared.lock().common_height(one, other)
    }

    /// How the chain fared since the feed began.
    #[must_use]
    pub fn stats(&self) -> FeedStats {
        let tree = self.shared.lock();
        let best = || tree.best.into_iter().flat_map(|(tip, _)| tree.chain(tip));
        let intervals = best().zip(best().skip(1)).map(|(block, parent)| block.slot - parent.slot);
        let slot = self.shared.slot.as_secs_f64();
        FeedStats {
            blocks: tree.blocks(),
            transactions: best().map(|block| block.transactions.len()).sum(),
            interval: Percentiles::of(intervals.map(|slots| slots as f64 * slot)),
            reorgs: tree.reorgs,
            heights: tree.nodes.iter().map(|node| (node.name.to_string(), node.height())).collect(),
        }
    }
}

/// What [`BlockFeed::chains`] are.
#[derive(Clone, Debug)]
pub struct Chains(Vec<HashSet<HeaderId>>);

impl Chains {
    /// Whether each of them has one of these blocks, not necessarily the same.
    pub fn each_has_one_of(&self, blocks: impl Iterator<Item = HeaderId> + Clone) -> bool {
        self.0.iter().all(|chain| blocks.clone().any(|block| chain.contains(&block)))
    }
}

/// How the chain fares, see [`BlockFeed::stats`].
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FeedStats {
    /// Blocks seen, on all branches.
    pub blocks: usize,
    /// Transactions on the best chain.
    pub transactions: usize,
    /// Time between the slots of consecutive blocks of the best chain, in seconds; `None` below two blocks.
    pub interval: Option<Percentiles>,
    /// How often the best chain changed to another branch.
    pub reorgs: usize,
    /// Height of each node's tip.
    pub heights: Vec<(String, u64)>,
}

/// A listener's place in the feed's history.
pub struct Subscription {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    next: u64,
}

debug_as!(Subscription, |this| next: this.next);

impl Subscription {
    /// The next event, awaited if there is none yet. Cancellation loses nothing.
    pub async fn next(&mut self) -> Event {
        loop {
            self.changes.mark_unchanged();
            if let Some(event) = self.try_next() {
                return event;
            }
            if self.changes.changed().await.is_err() {
                // The sender lives in `shared`, which this subscription holds.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        let tree = self.shared.lock();
        let (event, next) = tree.history.read(self.next)?;
        self.next = next;
        Some(event)
    }
}
