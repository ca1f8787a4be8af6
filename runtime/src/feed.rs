//! One follower of the chain, many listeners.
//!
//! A [`BlockFeed`] asks every node for its tip, fetches each block once from whichever node has it first,
//! and keeps the tree of all of them. Listeners read its [events](Event) at their own pace from a history
//! that begins with the feed, so none can miss any.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::node::{ClientError, ConsensusInfo, HeaderId, NodeBlock, NodeClient, NodeProgram, TransactionId};
use crate::wait::pause;

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
    /// When the feed saw it first.
    pub first_seen: Instant,
    /// The node from which the feed had it first.
    pub seen_at: Arc<str>,
}

/// Something that happened to the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone)]
pub struct BlockFeed {
    shared: Arc<Shared>,
    _pollers: Arc<JoinSet<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// Counts changes of the state, so that listeners know when to look.
    changes: watch::Sender<u64>,
    program: Arc<dyn NodeProgram>,
}

#[derive(Default)]
struct State {
    blocks: HashMap<HeaderId, Arc<Block>>,
    events: Vec<Event>,
    nodes: Vec<NodeView>,
    best: Option<(HeaderId, u64)>,
    finalized: u64,
}

impl BlockFeed {
    /// Follows the chain that `clients` make, asking each for its tip four times a slot and at least
    /// every 250 ms.
    #[must_use]
    pub fn start(clients: &[NodeClient], program: Arc<dyn NodeProgram>, slot: Duration) -> Self {
        let view = |client: &NodeClient| NodeView {
            name: client.name().into(),
            info: None,
            answered: None,
            error: None,
        };
        let state = State { nodes: clients.iter().map(view).collect(), ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changes: watch::Sender::new(0), program });
        let interval = (slot / 4).min(Duration::from_millis(250));
        let mut pollers = JoinSet::new();
        for (index, client) in clients.iter().cloned().enumerate() {
            let shared = Arc::clone(&shared);
            pollers.spawn(async move {
                loop {
                    shared.poll(index, &client).await;
                    pause(interval).await;
                }
            });
        }
        Self { shared, _pollers: Arc::new(pollers) }
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
        let next = self.shared.lock().events.len();
        Subscription { shared: Arc::clone(&self.shared), changes: self.changes(), next }
    }

    /// Listens to everything from the feed's beginning.
    #[must_use]
    pub fn replay(&self) -> Subscription {
        Subscription { next: 0, ..self.subscribe() }
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
        self.shared.lock().blocks.get(&id).cloned()
    }

    /// The chain that ends in `tip`, newest block first, without genesis.
    #[must_use]
    pub fn chain(&self, tip: HeaderId) -> Vec<Arc<Block>> {
        self.shared.lock().chain(tip).cloned().collect()
    }

    /// The height of the last block that the chains of two tips share; 0 is genesis.
    #[must_use]
    pub fn common_height(&self, one: HeaderId, other: HeaderId) -> u64 {
        self.shared.lock().common_height(one, other)
    }

    /// How the chain fares.
    #[must_use]
    pub fn stats(&self) -> FeedStats {
        let state = self.shared.lock();
        FeedStats {
            blocks: state.blocks.len(),
            transactions: state
                .best
                .map_or(0, |(tip, _)| state.chain(tip).map(|b| b.transactions.len()).sum()),
            reorgs: state.events.iter().filter(|event| matches!(event, Event::Reorg { .. })).count(),
            heights: state.nodes.iter().map(|node| (node.name.to_string(), node.height())).collect(),
        }
    }
}

/// How the chain fares, see [`BlockFeed::stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FeedStats {
    /// Blocks seen, on all branches.
    pub blocks: usize,
    /// Transactions on the best chain.
    pub transactions: usize,
    /// How often the best chain changed to another branch.
    pub reorgs: usize,
    /// Height of each node's tip.
    pub heights: Vec<(String, u64)>,
}

/// A listener's place in the feed's history.
pub struct Subscription {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    next: usize,
}

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
        let event = self.shared.lock().events.get(self.next).cloned()?;
        self.next += 1;
        Some(event)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn poll(&self, index: usize, client: &NodeClient) {
        let seen = self.look(client).await;
        let mut state = self.lock();
        match seen {
            Ok((info, blocks)) => state.apply(index, info, blocks, &client.name().into()),
            Err(error) => state.nodes[index].error = Some(error.to_string()),
        }
        drop(state);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Asks a node for its tip, and for the blocks between the tip and what the feed has, oldest first.
    async fn look(&self, client: &NodeClient) -> Result<(ConsensusInfo, Vec<Unplaced>), LookError> {
        let info = client.consensus_info().await?;
        let mut missing = Vec::new();
        let (mut id, mut height) = (info.tip, info.height);
        while height > 0 && !self.lock().blocks.contains_key(&id) {
            let block = client.block(id).await?.ok_or(LookError::Missing { id, height })?;
            let parent = block.header.parent_block;
            let transactions = self.transactions(&block).map_err(|cause| LookError::Foreign { id, cause })?;
            missing.push(Unplaced { id, height, block, transactions });
            (id, height) = (parent, height - 1);
        }
        missing.reverse();
        Ok((info, missing))
    }

    fn transactions(&self, block: &NodeBlock) -> Result<Vec<TransactionId>, String> {
        let wallet = self.program.wallet();
        block.transactions.iter().map(|transaction| wallet.transaction_id(transaction)).collect()
    }
}

struct Unplaced {
    id: HeaderId,
    height: u64,
    block: NodeBlock,
    transactions: Vec<TransactionId>,
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("block {id} at height {height} is on the node's chain, but the node does not have it")]
    Missing { id: HeaderId, height: u64 },
    #[error("block {id} holds a transaction that is none of this node program: {cause}")]
    Foreign { id: HeaderId, cause: String },
}

impl State {
    fn apply(&mut self, index: usize, info: ConsensusInfo, blocks: Vec<Unplaced>, node: &Arc<str>) {
        for Unplaced { id, height, block, transactions } in blocks {
            if self.blocks.contains_key(&id) {
                continue;
            }
            let block = Arc::new(Block {
                id,
                parent: block.header.parent_block,
                slot: block.header.slot,
                height,
                proposer: block.header.proof_of_leadership.leader_key,
                transactions,
                first_seen: Instant::now(),
                seen_at: Arc::clone(node),
            });
            self.blocks.insert(id, Arc::clone(&block));
            self.events.push(Event::Block(block));
        }
        self.follow_best(info.tip, info.height);
        self.follow_final(info.lib);
        let view = &mut self.nodes[index];
        (view.info, view.answered, view.error) = (Some(info), Some(Instant::now()), None);
    }

    fn follow_best(&mut self, tip: HeaderId, height: u64) {
        if let Some((best, best_height)) = self.best {
            if height <= best_height {
                return;
            }
            let depth = best_height - self.common_height(best, tip);
            if depth > 0 {
                self.events.push(Event::Reorg { from: best, to: tip, depth });
            }
        }
        self.best = Some((tip, height));
    }

    fn follow_final(&mut self, lib: HeaderId) {
        let newly: Vec<HeaderId> =
            self.chain(lib).take_while(|block| block.height > self.finalized).map(|block| block.id).collect();
        self.finalized += newly.len() as u64;
        self.events.extend(newly.into_iter().rev().map(|id| Event::Finalized { id }));
    }

    fn chain(&self, tip: HeaderId) -> impl Iterator<Item = &Arc<Block>> {
        std::iter::successors(self.blocks.get(&tip), |block| self.blocks.get(&block.parent))
    }

    fn common_height(&self, one: HeaderId, other: HeaderId) -> u64 {
        let (mut one, mut other) = (self.blocks.get(&one), self.blocks.get(&other));
        while let (Some(left), Some(right)) = (one, other) {
            if left.id == right.id {
                return left.height;
            }
            if left.height >= right.height {
                one = self.blocks.get(&left.parent);
            }
            if right.height >= left.height {
                other = self.blocks.get(&right.parent);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::FakeProgram;
    use crate::node::{Reply, Request, Transport};
    use crate::topology::Role;

    /// A node whose chain the test writes: block `n` of a branch has the id `[branch, n, 0, …]`.
    #[derive(Default)]
    struct Scripted(Mutex<Vec<u8>>);

    fn id(branch: u8, height: usize) -> HeaderId {
        let mut bytes = [0; 32];
        (bytes[0], bytes[1]) = (branch, height as u8);
        HeaderId(bytes)
    }

    impl Scripted {
        /// The branch of each block, from height 1 up.
        fn set(&self, branches: &[u8]) {
            *self.0.lock().unwrap() = branches.to_vec();
        }

        fn block(branches: &[u8], height: usize) -> HeaderId {
            height.checked_sub(1).map_or(id(0, 0), |index| id(branches[index], height))
        }

        fn answer(&self, request: &Request) -> serde_json::Value {
            let branches = self.0.lock().unwrap();
            let tip = branches.len();
            let Some(asked) = &request.body else {
                let lib = Self::block(&branches, tip.saturating_sub(3));
                return json!({ "lib": lib, "tip": Self::block(&branches, tip), "slot": tip, "height": tip, "mode": "Online" });
            };
            let height = (1..=tip).find(|height| json!(Self::block(&branches, *height)) == *asked);
            height.map_or(serde_json::Value::Null, |height| {
                let parent = Self::block(&branches, height - 1);
                let header = json!({ "parent_block": parent, "slot": height, "proof_of_leadership": { "leader_key": "" } });
                json!({ "header": header, "transactions": [] })
            })
        }
    }

    impl Transport for Arc<Scripted> {
        fn url(&self) -> &str {
            "scripted"
        }

        fn send(&self, request: Request) -> crate::deployer::BoxFuture<'_, Result<Reply, String>> {
            let body = self.answer(&request).to_string().into_bytes();
            Box::pin(async move { Ok(Reply { status: 200, body }) })
        }
    }

    fn feed(nodes: &[Arc<Scripted>]) -> BlockFeed {
        let client =
            |node: &Arc<Scripted>| NodeClient::new("node", Role::Validator, Arc::new(Arc::clone(node)));
        let clients: Vec<_> = nodes.iter().map(client).collect();
        BlockFeed::start(&clients, Arc::new(FakeProgram), Duration::from_secs(1))
    }

    async fn next(events: &mut Subscription, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..count {
            told.push(match events.next().await {
                Event::Block(block) => format!("block {}", block.id.short()),
                Event::Reorg { from, to, depth } => {
                    format!("reorg {} to {} by {depth}", from.short(), to.short())
                }
                Event::Finalized { id } => format!("final {}", id.short()),
            });
        }
        assert_eq!(events.try_next(), None);
        told
    }

    #[tokio::test(start_paused = true)]
    async fn each_block_comes_once_and_parents_first() {
        let nodes = [Arc::<Scripted>::default(), Arc::default()];
        let feed = feed(&nodes);
        let mut events = feed.subscribe();
        nodes[0].set(&[1, 1, 1]);
        nodes[1].set(&[1, 1, 1]);
        assert_eq!(next(&mut events, 3).await, ["block 01010000", "block 01020000", "block 01030000"]);
        nodes[1].set(&[1, 1, 1, 1]);
        assert_eq!(next(&mut events, 2).await, ["block 01040000", "final 01010000"]);
        let mut late = feed.replay();
        assert_eq!(next(&mut late, 5).await[4], "final 01010000");
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_branch_is_a_reorganisation_as_deep_as_what_it_abandons() {
        let nodes = [Arc::<Scripted>::default(), Arc::default()];
        let feed = feed(&nodes);
        let mut events = feed.subscribe();
        nodes[0].set(&[1, 1, 1]);
        assert_eq!(next(&mut events, 3).await.len(), 3);
        nodes[1].set(&[1, 2, 2, 2]);
        let told = next(&mut events, 5).await;
        assert_eq!(told[..3], ["block 02020000", "block 02030000", "block 02040000"]);
        assert_eq!(told[3..], ["reorg 01030000 to 02040000 by 2", "final 01010000"]);
        assert_eq!(feed.common_height(id(1, 3), id(2, 4)), 1);
        assert_eq!(feed.common_height(id(2, 4), id(0, 0)), 0);
        assert_eq!(feed.stats().reorgs, 1);
    }
}
