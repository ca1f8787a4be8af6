//! A Merkle tree. The last node of a level that has no partner goes up as it is.

use crate::wire::{Digest, Hasher};

/// All levels, the leaves first.
pub(super) struct Tree(Vec<Vec<Digest>>);

impl Tree {
    /// The tree over at least one leaf.
    pub(super) fn new(leaves: Vec<Digest>) -> Self {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let above = |pair: &[Digest]| match *pair {
                [left, right] => parent(left, right),
                _ => pair[0],
            };
            let next = level.chunks(2).map(above).collect();
            levels.push(next);
        }
        Self(levels)
    }

    pub(super) fn root(&self) -> Digest {
        self.0[self.0.len() - 1][0]
    }

    /// The partners that lead from a leaf to the root.
    pub(super) fn path(&self, leaf: usize) -> Vec<Digest> {
        let levels = self.0.iter().enumerate();
        levels.filter_map(|(height, level)| level.get((leaf >> height) ^ 1).copied()).collect()
    }
}

/// The root that a path leads to; `None` where it is too long or too short for a tree of so many leaves.
pub(super) fn root(leaf: Digest, index: usize, leaves: usize, path: &[Digest]) -> Option<Digest> {
    let (mut at, mut width, mut node) = (index, leaves, leaf);
    let mut path = path.iter();
    while width > 1 {
        node = match at % 2 {
            1 => parent(*path.next()?, node),
            _ if at + 1 < width => parent(node, *path.next()?),
            _ => node,
        };
        (at, width) = (at / 2, width.div_ceil(2));
    }
    (path.next().is_none() && index < leaves).then_some(node)
}

fn parent(left: Digest, right: Digest) -> Digest {
    let mut hasher = Hasher::new("node of shares");
    hasher.raw(&left.0);
    hasher.raw(&right.0);
    Digest(hasher.finish())
}
