//! What a node decides while something is on the way to the disk.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::chain::tests::{LATEST, leader, settings};

/// A node that leads with the first key, and a chain of another leader.
fn node() -> (Shared, UnboundedReceiver<Later>, Chain) {
    let settings = Settings { leader_keys: vec![leader(0)], ..settings() };
    let (told, stored) = unbounded_channel();
    (Shared::load(&settings, told, Spans::default()).unwrap(), stored, Chain::new(&settings))
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
fn a_block_is_made_once_it_is_stored_that_its_slot_is_taken() {
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
fn a_block_is_made_on_the_tip_that_there_is_by_then() {
    let (node, mut stored, mut other) = node();
    let mut node = node.lock();
    node.begin_slot(1);
    node.stored(count(&mut stored));
    node.begin_slot(20);
    for slot in 3..=10 {
        node.receive_block(grow(&mut other, slot), None, LATEST);
    }
    let made = node.stored(count(&mut stored)).made;
    assert_eq!(made[0].header.parent_block, other.tip());
    assert_eq!(node.chain.tip(), made[0].id());
}

#[test]
fn no_slot_is_taken_twice_and_the_order_of_blocks_is_kept_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let settings =
        Settings { leader_keys: vec![leader(0)], storage: Some(directory.path().to_owned()), ..settings() };
    let mut other = Chain::new(&settings);
    let tip = {
        let (told, _stored) = unbounded_channel();
        let node = Shared::load(&settings, told, Spans::default()).unwrap();
        let mut node = node.lock();
        node.go_online();
        node.begin_slot(5);
        for slot in 1..=4 {
            node.receive_block(grow(&mut other, slot), None, LATEST);
        }
        node.close();
        node.chain.tip()
    };
    let (told, _stored) = unbounded_channel();
    let node = Shared::load(&settings, told, Spans::default()).unwrap();
    let mut node = node.lock();
    assert_eq!((node.chain.tip(), node.lib.0, node.taken), (tip, 1, 5));
    node.go_online();
    node.begin_slot(5);
    assert_eq!(node.making, None);
    node.begin_slot(6);
    assert!(node.making.is_some());
    node.close();
}

#[test]
fn a_stored_branch_that_is_abandoned_by_now_keeps_no_node_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { storage: Some(directory.path().to_owned()), ..settings() };
    let mut other = Chain::new(&settings);
    let branch = Arc::new(other.make(&leader(0), 1, vec![]).unwrap());
    let (told, _stored) = unbounded_channel();
    let (mut storage, _) = Storage::open(directory.path(), other.genesis(), told.clone()).unwrap();
    for slot in 1..=20 {
        storage.save(&grow(&mut other, slot));
    }
    storage.save(&branch);
    storage.close();
    let node = Shared::load(&settings, told, Spans::default()).unwrap();
    assert_eq!(node.lock().chain.tip(), other.tip());
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
