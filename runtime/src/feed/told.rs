//! A feed that follows nobody and is told what happened: that of a run that is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::tree::Tree;
use super::{Block, BlockFeed, HISTORY, Mutex, Shared};
use crate::node::{ConsensusInfo, NodeProgram};

impl BlockFeed {
    /// Of these nodes, which say nothing by themselves.
    pub(crate) fn told<'a>(
        nodes: impl Iterator<Item = &'a str>,
        program: Arc<dyn NodeProgram>,
        slot: Duration,
    ) -> Self {
        let tree = Mutex::new(Tree::new(nodes, 0, HISTORY));
        let shared = Arc::new(Shared { tree, changes: watch::Sender::new(0), program, slot });
        Self { shared, origin: 0, _followers: Arc::new(JoinSet::new()) }
    }

    /// A block was seen; its parent was before, or never will be.
    pub(crate) fn tell_block(&self, block: Block) {
        self.tell(|tree| tree.add(block));
    }

    /// A node answered.
    pub(crate) fn tell_tip(&self, node: &str, info: ConsensusInfo) {
        self.tell(|tree| {
            if let Some(index) = tree.nodes.iter().position(|view| &*view.name == node) {
                tree.follow(index, info);
            }
        });
    }

    /// A node did not answer.
    pub(crate) fn tell_silent(&self, node: &str, error: String) {
        self.tell(|tree| {
            if let Some(view) = tree.nodes.iter_mut().find(|view| &*view.name == node) {
                view.error = Some(error);
            }
        });
    }

    /// Whoever is not told to be silent answers all the time.
    fn tell(&self, what: impl FnOnce(&mut Tree)) {
        let mut tree = self.shared.lock();
        what(&mut tree);
        for view in tree.nodes.iter_mut().filter(|view| view.info.is_some() && view.error.is_none()) {
            view.answered = Some(Instant::now());
        }
        drop(tree);
        self.shared.changes.send_modify(|changes| *changes += 1);
    }
}
