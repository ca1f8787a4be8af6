//! Blocks that wait for their parent, and ids that are not to be looked at again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
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

    /// Takes the blocks that waited for this parent.
    pub(super) fn take(&mut self, parent: &HeaderId) -> Vec<Orphan> {
        let children = self.children.remove(parent).unwrap_or_default();
        if !children.is_empty() {
            self.parents.retain(|other| other != parent);
        }
        children
    }
}

/// A set that forgets its oldest members.
pub(super) struct Recent<T> {
    members: HashSet<T>,
    order: VecDeque<T>,
    most: usize,
}

impl<T: Copy + Eq + Hash> Recent<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { members: HashSet::new(), order: VecDeque::new(), most }
    }

    pub(super) fn contains(&self, member: &T) -> bool {
        self.members.contains(member)
    }

    pub(super) fn insert(&mut self, member: T) {
        if !self.members.insert(member) {
            return;
        }
        self.order.push_back(member);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.members.remove(&oldest);
        }
    }
}
