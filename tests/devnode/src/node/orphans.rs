//! Blocks that wait for their parent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::state::Origin;
use crate::wire::{Block, HeaderId};

const MAX_ORPHANS: usize = 256;

/// A block, and the message that brought it.
type Orphan = (Arc<Block>, Option<Origin>);

/// Blocks by the parent that they wait for. The oldest goes when there are too many.
#[derive(Default)]
pub(super) struct Orphans {
    children: HashMap<HeaderId, Vec<Orphan>>,
    parents: VecDeque<HeaderId>,
}

impl Orphans {
    pub(super) fn insert(&mut self, block: Arc<Block>, origin: Option<Origin>) {
        let parent = block.header.parent_block;
        let children = self.children.entry(parent).or_default();
        if children.iter().all(|(other, _)| *other != block) {
            children.push((block, origin));
            self.parents.push_back(parent);
        }
        if self.parents.len() > MAX_ORPHANS
            && let Some(parent) = self.parents.pop_front()
            && let Some(children) = self.children.get_mut(&parent)
        {
            children.remove(0);
            if children.is_empty() {
                self.children.remove(&parent);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parents.len()
    }

    /// Takes the blocks that waited for this parent.
    pub(super) fn take(&mut self, parent: &HeaderId) -> Vec<Orphan> {
        let children = self.children.remove(parent).unwrap_or_default();
        if !children.is_empty() {
            self.parents.retain(|other| other != parent);
        }
        children
    }
}
