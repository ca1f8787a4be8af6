//! Ways through the tree: from a block down, and from what another node has up to what it misses.

use std::collections::HashSet;

use super::Chain;
use crate::wire::HeaderId;

impl Chain {
    /// Ids from `from` down to `to` or to genesis, newest first, both ends included, at most `limit`.
    #[must_use]
    pub fn headers(&self, from: HeaderId, to: HeaderId, limit: usize) -> Vec<HeaderId> {
        let mut ids = Vec::new();
        let mut next = Some(from);
        while let Some(id) = next.filter(|_| ids.len() < limit) {
            let Some(entry) = self.blocks.get(&id) else { break };
            ids.push(id);
            next = (id != to).then_some(entry.parent);
        }
        ids
    }

    /// Ids by which another node finds the newest block that both have: the tip, then ever wider apart to genesis.
    #[must_use]
    pub fn locator(&self) -> Vec<HeaderId> {
        let mut ids = Vec::new();
        let (mut height, mut step) = (self.height(), 1);
        while height > 0 {
            ids.push(self.main[self.at(height)]);
            if ids.len() > 8 {
                step *= 2;
            }
            height = height.saturating_sub(step);
        }
        ids.push(self.genesis());
        ids
    }

    /// The ids that lead from the newest block of `locator` that is known here up to `target`, lowest first. An
    /// unknown target is the tip.
    #[must_use]
    pub fn path(&self, locator: &[HeaderId], target: Option<HeaderId>, limit: usize) -> Vec<HeaderId> {
        let known: HashSet<_> = locator.iter().collect();
        let mut at = target.filter(|target| self.contains(target)).unwrap_or_else(|| self.tip());
        let mut branch = Vec::new();
        while !known.contains(&at) && !self.follows(&at) {
            branch.push(at);
            at = self.blocks[&at].parent;
        }
        let mut path = Vec::new();
        if !known.contains(&at) {
            let top = self.blocks[&at].height;
            let common = locator.iter().filter(|id| self.follows(id)).map(|id| self.blocks[id].height);
            let common = common.filter(|height| *height <= top).max().unwrap_or(0);
            path.extend(self.main[self.at(common) + 1..=self.at(top)].iter().take(limit));
        }
        path.extend(branch.into_iter().rev());
        path.truncate(limit);
        path
    }
}
