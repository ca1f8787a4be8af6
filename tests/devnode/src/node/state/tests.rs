//! What a node decides while its own block is on the way to the disk.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::chain::tests::{LATEST, leader, settings};

/// A node that leads with the first key, and a chain of another leader.
fn node() -> (Shared, UnboundedReceiver<Later>, Chain) {
    let settings = Settings { leader_keys: vec![leader(0)], ..settings() };
    let (told, stored) = unbounded_channel();
    (Shared::load(&settings, told).unwrap(), stored, Chain::new(&settings))
}

/// The block of the other leader in a slot, on its own chain.
fn grow(other: &mut Chain, slot: u64) -> Arc<Block> {
    let block = Arc::new(other.make(&leader(1), slot, vec![]).unwrap());
    other.add(block.clone(), LATEST).unwrap();
    block
}

fn count(stored: &mut UnboundedReceiver<Later>) -> u64 {
    let mut last = 0;
    while let Ok(Later::Stored(count)) = stored.try_recv() {
        last = count;
    }
    last
}

#[test]
fn a_block_joins_the_chain_and_is_sent_once_it_is_stored() {
    let (node, mut stored, _) = node();
    let mut node = node.lock();
    assert_eq!(node.mode, Mode::Bootstrapping);
    node.begin_slot(1);
    assert_eq!((node.mode, node.chain.height()), (Mode::Online, 0));
    // Until then it makes no other.
    node.begin_slot(2);
    let made = node.stored(count(&mut stored)).made;
    assert_eq!(made.iter().map(|block| block.header.slot).collect::<Vec<_>>(), [1]);
    assert_eq!(node.chain.tip(), made[0].id());
}

#[test]
fn a_block_whose_parent_is_forgotten_by_then_is_let_go() {
    let (node, mut stored, mut other) = node();
    let mut node = node.lock();
    node.begin_slot(1);
    node.stored(count(&mut stored));
    node.begin_slot(2);
    for slot in 3..=10 {
        node.receive_block(grow(&mut other, slot), None, LATEST);
    }
    assert!(node.stored(count(&mut stored)).made.is_empty());
    assert_eq!(node.chain.tip(), other.tip());
}

#[test]
fn nothing_is_told_to_be_final_before_it_is_stored() {
    let (node, mut stored, mut other) = node();
    let mut node = node.lock();
    let genesis = node.chain.genesis();
    for slot in 1..=10 {
        node.receive_block(grow(&mut other, slot), None, LATEST);
    }
    assert_eq!((node.lib, node.chain.lib()), ((0, genesis), other.lib()));
    node.stored(9);
    assert_eq!(node.lib.0, other.lib_height() - 1);
    node.stored(count(&mut stored));
    assert_eq!(node.lib, (other.lib_height(), other.lib()));
}
