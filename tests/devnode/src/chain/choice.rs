//! Which chain is followed, and what is final by that.

use std::cmp::Reverse;
use std::sync::Arc;

use super::{Applied, Chain, DEEP};
use crate::wire::{Block, HeaderId};

impl Chain {
    /// Blocks whose data is not known to be available, and that are not too deep for it to matter.
    pub fn unsampled(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.unsampled.iter().filter(|id| !self.follows(id)).filter_map(|id| self.block(id))
    }

    /// The data of a block is available: it may be followed from now on.
    pub fn sampled(&mut self, id: &HeaderId) -> Applied {
        let mut applied = Applied { height: self.height(), ..Applied::default() };
        if !self.unsampled.remove(id) {
            return applied;
        }
        let best = self.open.iter().filter(|id| self.is_better(id) && self.may_follow(id));
        if let Some(best) = best.copied().max_by_key(|id| (self.blocks[id].height, Reverse(*id))) {
            self.follow(best, &mut applied);
            self.finalize(&mut applied);
        }
        applied
    }

    pub(super) fn is_better(&self, id: &HeaderId) -> bool {
        let height = self.blocks[id].height;
        height > self.height() || (height == self.height() && *id < self.tip())
    }

    /// Whether the data of all blocks that lead to `tip` is available, as far as they are not too deep below it.
    pub(super) fn may_follow(&self, tip: &HeaderId) -> bool {
        let ancestors = std::iter::successors(Some(*tip), |id| Some(self.blocks[id].parent));
        let mut open = ancestors.take_while(|id| !self.follows(id)).zip(0..DEEP);
        open.all(|(id, _)| !self.unsampled.contains(&id))
    }

    /// Makes the chain that ends in `tip` the followed one.
    pub(super) fn follow(&mut self, tip: HeaderId, applied: &mut Applied) {
        let mut branch = Vec::new();
        let mut at = tip;
        while !self.follows(&at) {
            branch.push(at);
            at = self.blocks[&at].parent;
        }
        let left = self.main.split_off(self.at(self.blocks[&at].height) + 1);
        branch.reverse();
        let block = |id: &HeaderId| self.blocks[id].block.clone();
        applied.abandoned = left.iter().filter_map(block).collect();
        applied.adopted = branch.iter().filter_map(block).collect();
        applied.is_tip = true;
        self.main.extend(branch);
        for block in &applied.abandoned {
            block.transactions.iter().for_each(|transaction| {
                self.included.remove(&transaction.id());
            });
        }
        for block in &applied.adopted {
            let id = block.id();
            self.included.extend(block.transactions.iter().map(|transaction| (transaction.id(), id)));
        }
    }

    /// Moves the LIB up and forgets what can no longer be followed.
    pub(super) fn finalize(&mut self, applied: &mut Applied) {
        let lib = self.height().saturating_sub(self.security_param);
        if lib <= self.lib {
            return;
        }
        for height in self.lib..lib {
            let id = self.main[self.at(height)];
            self.blocks.get_mut(&id).expect("the followed chain is in the tree").ledger = None;
            applied.finalized.push((height + 1, self.main[self.at(height + 1)]));
        }
        self.lib = lib;
        let (keep, gone): (Vec<_>, Vec<_>) = self.open.iter().partition(|id| self.is_above_lib(id));
        self.open = keep.into_iter().collect();
        for id in gone {
            if !self.follows(&id) {
                self.blocks.remove(&id);
            }
        }
        self.led.retain(|_, id| self.open.contains(id));
        self.unsampled.retain(|id| self.open.contains(id));
    }

    /// Whether the block is an offspring of the LIB.
    fn is_above_lib(&self, id: &HeaderId) -> bool {
        let mut id = *id;
        while self.blocks.get(&id).is_some_and(|entry| entry.height > self.lib) {
            id = self.blocks[&id].parent;
            if id == self.lib() {
                return true;
            }
        }
        false
    }
}
