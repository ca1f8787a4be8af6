//! Follows one node: its block stream says when to look, and where there is none the clock does.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::{Block, Shared};
use crate::node::{
    AppliedBlock, ClientError, ConsensusInfo, HeaderId, Message, NodeBlock, NodeClient, TransactionId,
};
use crate::wait::pause;

/// The longest time between two looks at a node without a block stream.
const POLL: Duration = Duration::from_millis(250);
/// The longest time between two looks at a node that has one: whether it still answers.
const POLL_BESIDE_STREAM: Duration = Duration::from_secs(1);
/// How long a node may take to open its stream.
const OPEN: Duration = Duration::from_secs(1);
/// The longest branch that is fetched though no node's chain has it.
const BRANCH: usize = 64;

/// Looks at a node for ever.
pub(super) async fn follow(shared: Arc<Shared>, index: usize, client: NodeClient) {
    let mut stream = BlockStream::Closed;
    let mut announced = Vec::new();
    loop {
        let answered = shared.look(index, &client, &announced).await;
        if answered {
            stream.open(&client).await;
        }
        let pace = match stream {
            BlockStream::Open(_) => shared.slot.min(POLL_BESIDE_STREAM),
            _ => (shared.slot / 4).min(POLL),
        };
        announced = tokio::select! {
            blocks = stream.next() => blocks,
            () = pause(pace) => Vec::new(),
        };
    }
}

/// A node's stream of the blocks it applies.
enum BlockStream {
    /// Not opened yet, or ended.
    Closed,
    Open(BoxStream<'static, Result<AppliedBlock, ClientError>>),
    /// The node has none.
    Absent,
}

impl BlockStream {
    async fn open(&mut self, client: &NodeClient) {
        if !matches!(self, Self::Closed) {
            return;
        }
        *self = match tokio::time::timeout(OPEN, client.applied_blocks()).await {
            Ok(Ok(blocks)) => Self::Open(blocks),
            Ok(Err(ClientError::Unreachable { .. })) | Err(_) => Self::Closed,
            Ok(Err(_)) => Self::Absent,
        };
    }

    /// The blocks that the node applied since, at least one.
    async fn next(&mut self) -> Vec<HeaderId> {
        let Self::Open(blocks) = self else { return std::future::pending().await };
        let mut applied = Vec::new();
        let mut next = blocks.next().await;
        while let Some(Ok(block)) = next {
            applied.push(block.header.id);
            match blocks.next().now_or_never() {
                Some(another) => next = another,
                None => return applied,
            }
        }
        *self = Self::Closed;
        if applied.is_empty() {
            // Whoever looks after a while opens it again: a stream that ends at once makes nobody busy.
            std::future::pending::<()>().await;
        }
        applied
    }
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

/// A block as a node told it.
struct Fetched {
    id: HeaderId,
    block: NodeBlock,
    transactions: Vec<TransactionId>,
    messages: Vec<Message>,
}

impl Fetched {
    fn placed(self, height: u64, node: &Arc<str>) -> Block {
        Block {
            id: self.id,
            parent: self.block.header.parent_block,
            slot: self.block.header.slot,
            height,
            proposer: self.block.header.proof_of_leadership.leader_key,
            transactions: self.transactions,
            messages: self.messages,
            first_seen: Instant::now(),
            seen_at: Arc::clone(node),
        }
    }
}

impl Shared {
    /// Asks a node for its chain, and for blocks it announced; whether it answered.
    async fn look(&self, index: usize, client: &NodeClient, announced: &[HeaderId]) -> bool {
        let answer = self.look_at_tip(index, client).await;
        let answered = answer.is_ok();
        if let Err(error) = answer {
            self.lock().nodes[index].error = Some(error.to_string());
        }
        for id in announced {
            // Blocks of other branches explain what happened; what cannot be had of them is not missed.
            let _ = self.look_at_branch(index, client, *id).await;
        }
        self.changes.send_modify(|changes| *changes += 1);
        answered
    }

    /// Fetches the blocks between the node's tip and what is known.
    async fn look_at_tip(&self, index: usize, client: &NodeClient) -> Result<(), LookError> {
        let info = client.consensus_info().await?;
        let ConsensusInfo { tip: mut id, mut height, .. } = info;
        let mut missing = Vec::new();
        while !self.lock().has(id, height) {
            let fetched = self.fetch(client, id).await?.ok_or(LookError::Missing { id, height })?;
            id = fetched.block.header.parent_block;
            missing.push((fetched, height));
            height -= 1;
        }
        let mut tree = self.lock();
        let node = Arc::clone(&tree.nodes[index].name);
        for (fetched, height) in missing.into_iter().rev() {
            tree.add(fetched.placed(height, &node));
        }
        tree.follow(index, info);
        Ok(())
    }

    /// Fetches a block that the node announced, and those before it that are not known.
    async fn look_at_branch(
        &self,
        index: usize,
        client: &NodeClient,
        mut id: HeaderId,
    ) -> Result<(), LookError> {
        let mut missing = Vec::new();
        let base = loop {
            if let Some(block) = self.lock().block(id) {
                break block.height;
            }
            // Genesis is stored nowhere, and a branch that begins in nothing known cannot be placed.
            let Some(fetched) = self.fetch(client, id).await?.filter(|_| missing.len() < BRANCH) else {
                return Ok(());
            };
            id = fetched.block.header.parent_block;
            missing.push(fetched);
        };
        let mut tree = self.lock();
        let node = Arc::clone(&tree.nodes[index].name);
        for (fetched, height) in missing.into_iter().rev().zip(base + 1..) {
            tree.add(fetched.placed(height, &node));
        }
        Ok(())
    }

    async fn fetch(&self, client: &NodeClient, id: HeaderId) -> Result<Option<Fetched>, LookError> {
        let Some(block) = client.block(id).await? else { return Ok(None) };
        let (mut transactions, mut messages) = (Vec::new(), Vec::new());
        for transaction in &block.transactions {
            let foreign = |cause| LookError::Foreign { id, cause };
            if let Some(wallet) = self.program.wallet() {
                transactions.push(wallet.transaction_id(transaction).map_err(foreign)?);
            }
            if let Some(data) = self.program.data() {
                messages.extend(data.messages(transaction).map_err(foreign)?);
            }
        }
        Ok(Some(Fetched { id, block, transactions, messages }))
    }
}
