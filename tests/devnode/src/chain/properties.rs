//! Random trees of forks, in random orders: the chain does what a small model of the longest chain does.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::tests::{LATEST, leader, settings};
use super::*;

/// One block of a random tree: its parent among those before it, slots after it, and its leader.
type Shape = (Index, u64, u8);

/// Blocks by their definitions alone, each looked for among all.
struct Model {
    security_param: u64,
    /// Parent and height of every block that is in the tree.
    blocks: BTreeMap<HeaderId, (HeaderId, u64)>,
    tip: HeaderId,
    lib: HeaderId,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Known,
    Orphan,
    BelowLib,
    Applied,
}

impl Model {
    fn new(genesis: HeaderId, security_param: u64) -> Self {
        let blocks = BTreeMap::from([(genesis, (HeaderId::default(), 0))]);
        Self { security_param, blocks, tip: genesis, lib: genesis }
    }

    fn height(&self, id: &HeaderId) -> u64 {
        self.blocks[id].1
    }

    /// The block and all before it, genesis last.
    fn down_from(&self, id: HeaderId) -> Vec<HeaderId> {
        let parent = |id: &HeaderId| self.blocks.get(id).map(|(parent, _)| *parent);
        std::iter::successors(Some(id), parent).filter(|id| self.blocks.contains_key(id)).collect()
    }

    fn add(&mut self, id: HeaderId, parent: HeaderId) -> Outcome {
        if self.blocks.contains_key(&id) {
            return Outcome::Known;
        }
        let Some((_, height)) = self.blocks.get(&parent) else { return Outcome::Orphan };
        if *height < self.height(&self.lib) {
            return Outcome::BelowLib;
        }
        self.blocks.insert(id, (parent, height + 1));
        self.tip = *self
            .blocks
            .keys()
            .min_by_key(|id| (u64::MAX - self.height(id), **id))
            .expect("genesis is in the tree");
        let chain = self.down_from(self.tip);
        let depth = usize::try_from(self.security_param).unwrap();
        if let Some(lib) = chain.get(depth).filter(|lib| self.height(lib) > self.height(&self.lib)) {
            self.lib = *lib;
        }
        self.forget(&chain);
        Outcome::Applied
    }

    /// Forgets what is neither in the chain nor above the LIB.
    fn forget(&mut self, chain: &[HeaderId]) {
        let keep = |id: &HeaderId| chain.contains(id) || self.down_from(*id).contains(&self.lib);
        let gone: Vec<_> = self.blocks.keys().filter(|id| !keep(id)).copied().collect();
        self.blocks.retain(|id, _| !gone.contains(id));
    }
}

/// Makes the blocks of a tree, parents first.
fn plant(shapes: &[Shape]) -> Vec<Arc<Block>> {
    let mut chain = Chain::new(&settings());
    // It forgets nothing, and has the genesis of the chain under test.
    chain.security_param = 1_000;
    let mut ids = vec![chain.genesis()];
    let mut blocks = Vec::new();
    for (parent, gap, key) in shapes {
        let parent = *parent.get(&ids);
        let slot = chain.blocks[&parent].slot + gap;
        let block = Arc::new(chain.make_on(parent, &leader(*key), slot, vec![]).expect("everybody wins"));
        if let Ok(Added::Applied(_)) = chain.add(block.clone(), LATEST) {
            ids.push(block.id());
            blocks.push(block);
        }
    }
    blocks
}

fn outcome(added: &Result<Added, Refused>) -> Outcome {
    match added {
        Ok(Added::Known) => Outcome::Known,
        Ok(Added::Orphan) => Outcome::Orphan,
        Ok(Added::Applied(_)) => Outcome::Applied,
        Err(Refused::BelowLib) => Outcome::BelowLib,
        Err(Refused::Invalid(rule)) => panic!("{rule}"),
    }
}

/// Adds blocks to chain and model in an order, and compares the two after each.
fn compare(blocks: &[Arc<Block>], order: &[Index]) {
    let mut chain = Chain::new(&settings());
    let mut model = Model::new(chain.genesis(), settings().security_param);
    let mut told = vec![chain.genesis()];
    // First as they grew, with some that come too early or twice; then all.
    let drawn = order.iter().map(|index| index.get(blocks));
    let mixed = blocks.iter().zip(drawn).flat_map(|(next, any)| [any, next]);
    for block in mixed.chain(blocks) {
        let id = block.id();
        let added = chain.add(block.clone(), LATEST);
        assert_eq!(outcome(&added), model.add(id, block.header.parent_block));
        if let Ok(Added::Applied(applied)) = added {
            told.extend(applied.finalized.iter().map(|(_, id)| *id));
        }
        assert_eq!((chain.tip(), chain.lib()), (model.tip, model.lib));
        assert_eq!(chain.headers(chain.tip(), chain.genesis(), usize::MAX), model.down_from(model.tip));
        assert!(model.blocks.keys().all(|id| chain.contains(id)));
        assert_eq!(chain.blocks.len(), model.blocks.len());
    }
    told.reverse();
    assert_eq!(told, model.down_from(model.lib), "every final block is told once, lowest first");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_chain_does_what_the_model_does(
        shapes in prop::collection::vec((any::<Index>(), 1_u64..3, 0_u8..3), 1..40),
        order in prop::collection::vec(any::<Index>(), 40),
    ) {
        compare(&plant(&shapes), &order);
    }

    #[test]
    fn two_long_branches_do_what_the_model_does(
        sides in prop::collection::vec((any::<bool>(), 0_u8..3), 1..40),
        order in prop::collection::vec(any::<Index>(), 40),
    ) {
        compare(&branches(&sides), &order);
    }
}

/// Two branches from genesis that grow in turns as drawn, so that LIBs are reached and passed.
fn branches(sides: &[(bool, u8)]) -> Vec<Arc<Block>> {
    let mut two = [Chain::new(&settings()), Chain::new(&settings())];
    let grow = |(slot, (side, key)): (usize, &(bool, u8))| {
        let chain = &mut two[usize::from(*side)];
        let block = Arc::new(chain.make(&leader(*key), slot as u64 + 1, vec![]).expect("everybody wins"));
        chain.add(block.clone(), LATEST).expect("it is valid");
        block
    };
    sides.iter().enumerate().map(grow).collect()
}
