//! The tree of all blocks that were seen, and the history of how it grew.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::{Block, Event, NodeView};
use crate::node::{ConsensusInfo, HeaderId};

/// All blocks of all branches, and what each node said of them.
pub(super) struct Tree {
    blocks: HashMap<HeaderId, Arc<Block>>,
    /// Up to this height blocks may be missing: the feed began above them, or forgot them. They are not to be fetched,
    /// and all chains are taken to share them.
    floor: u64,
    finalized: HashSet<HeaderId>,
    pub(super) nodes: Vec<NodeView>,
    pub(super) best: Option<(HeaderId, u64)>,
    pub(super) reorgs: usize,
    pub(super) history: History,
}

impl Tree {
    /// Of these nodes' chains above a height.
    pub(super) fn new<'a>(nodes: impl Iterator<Item = &'a str>, floor: u64, history: usize) -> Self {
        let view = |name: &str| NodeView { name: name.into(), info: None, answered: None, error: None };
        Self {
            blocks: HashMap::new(),
            floor,
            finalized: HashSet::new(),
            nodes: nodes.map(view).collect(),
            best: None,
            reorgs: 0,
            history: History { events: VecDeque::new(), first: 0, most: history },
        }
    }

    pub(super) fn block(&self, id: HeaderId) -> Option<&Arc<Block>> {
        self.blocks.get(&id)
    }

    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Whether a block of that height need not be fetched: it is here, below what the feed has, or genesis.
    pub(super) fn has(&self, id: HeaderId, height: u64) -> bool {
        height <= self.floor || self.blocks.contains_key(&id)
    }

    /// Adds a block whose parent need not be fetched.
    pub(super) fn add(&mut self, block: Block) {
        if self.has(block.id, block.height) {
            return;
        }
        let block = Arc::new(block);
        self.blocks.insert(block.id, Arc::clone(&block));
        self.tell(Event::Block(block));
    }

    /// Notes what a node said; all blocks of its chain were added.
    pub(super) fn follow(&mut self, node: usize, info: ConsensusInfo) {
        self.follow_best(info.tip, info.height);
        self.follow_final(info.lib);
        let view = &mut self.nodes[node];
        (view.info, view.answered, view.error) = (Some(info), Some(tokio::time::Instant::now()), None);
    }

    fn follow_best(&mut self, tip: HeaderId, height: u64) {
        if let Some((best, best_height)) = self.best {
            if height <= best_height {
                return;
            }
            let depth = best_height - self.common_height(best, tip);
            if depth > 0 {
                self.reorgs += 1;
                self.tell(Event::Reorg { from: best, to: tip, depth });
            }
        }
        self.best = Some((tip, height));
    }

    fn follow_final(&mut self, lib: HeaderId) {
        let newly = self.chain(lib).map(|block| block.id).take_while(|id| !self.finalized.contains(id));
        let newly: Vec<HeaderId> = newly.collect();
        for id in newly.into_iter().rev() {
            self.finalized.insert(id);
            self.tell(Event::Finalized { id });
        }
    }

    fn tell(&mut self, event: Event) {
        if let Some(Event::Block(block)) = self.history.push(event) {
            self.floor = self.floor.max(block.height);
            self.blocks.remove(&block.id);
            self.finalized.remove(&block.id);
        }
    }

    pub(super) fn chain(&self, tip: HeaderId) -> impl Iterator<Item = &Arc<Block>> {
        std::iter::successors(self.blocks.get(&tip), |block| self.blocks.get(&block.parent))
    }

    pub(super) fn common_height(&self, one: HeaderId, other: HeaderId) -> u64 {
        let place = |id| (id, self.blocks.get(&id).map_or(self.floor, |block| block.height));
        let below = |(id, height): (HeaderId, u64)| {
            self.blocks.get(&id).map(|block| (block.parent, height.saturating_sub(1)))
        };
        let (mut one, mut other) = (place(one), place(other));
        while one != other {
            let (higher, lower) = if one.1 >= other.1 { (one, other) } else { (other, one) };
            let Some(next) = below(higher) else { return self.floor };
            (one, other) = (next, lower);
        }
        one.1
    }
}

/// Events by their number, as many as are kept.
pub(super) struct History {
    events: VecDeque<Event>,
    /// Number of the oldest one.
    first: u64,
    most: usize,
}

impl History {
    /// The number that the next event will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Adds an event; returns the one that is forgotten for it.
    fn push(&mut self, event: Event) -> Option<Event> {
        self.events.push_back(event);
        if self.events.len() <= self.most {
            return None;
        }
        self.first += 1;
        self.events.pop_front()
    }

    /// The event of a number, or how many are missing before the oldest one; and the number to go on with.
    pub(super) fn read(&self, number: u64) -> Option<(Event, u64)> {
        if number < self.first {
            return Some((Event::Lagged { missed: self.first - number }, self.first));
        }
        let event = self.events.get((number - self.first) as usize)?;
        Some((event.clone(), number + 1))
    }
}
