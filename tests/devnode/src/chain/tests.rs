//! Fork choice, finality and the rules of blocks.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::config::{Faults, Role};
use crate::genesis::Genesis;
use crate::wallet::{account_key, transfer};
use crate::wire::Output;

const K: u64 = 3;
pub(crate) const LATEST: u64 = 1_000_000;

pub(crate) fn leader(index: u8) -> SecretKey {
    SecretKey::from_seed([index; 32])
}

/// Three leaders who win every slot, and two accounts.
pub(crate) fn settings() -> Settings {
    let output = |value, key: &SecretKey| Output { value, pk: key.public() };
    Settings {
        name: "test".to_owned(),
        role: Role::Validator,
        node_key: leader(9),
        listen: ([127, 0, 0, 1], 1).into(),
        peers: Vec::new(),
        discovery: false,
        http: ([127, 0, 0, 1], 2).into(),
        testing_http: ([127, 0, 0, 1], 3).into(),
        genesis: Genesis {
            leaders: (0..3).map(|index| output(1000, &leader(index))).collect(),
            accounts: (0..2).map(|index| output(100, &account_key(index))).collect(),
        },
        start_time: UNIX_EPOCH,
        slot: Duration::from_secs(1),
        active_slot_coeff: 1.0,
        security_param: K,
        leader_keys: Vec::new(),
        members: Vec::new(),
        retention: 100,
        give_up: Duration::from_secs(60),
        delay: Duration::ZERO..=Duration::ZERO,
        storage: None,
        log: "info".to_owned(),
        faults: Faults::default(),
        http_delay: Duration::ZERO,
    }
}

fn chain() -> Chain {
    Chain::new(&settings())
}

/// Makes a block on the tip and adds it.
fn grow(chain: &mut Chain, index: u8, slot: u64, transactions: Vec<SignedTransaction>) -> Arc<Block> {
    let block = Arc::new(chain.make(&leader(index), slot, transactions).unwrap());
    add(chain, &block);
    block
}

fn add(chain: &mut Chain, block: &Arc<Block>) -> Applied {
    match chain.add(block.clone(), LATEST) {
        Ok(Added::Applied(applied)) => applied,
        other => panic!("{other:?}"),
    }
}

fn invalid(chain: &mut Chain, block: Block) -> Invalid {
    let (tip, blocks) = (chain.tip(), chain.blocks.len());
    let refused = match chain.add(Arc::new(block), LATEST) {
        Err(Refused::Invalid(rule)) => rule,
        other => panic!("{other:?}"),
    };
    assert_eq!((chain.tip(), chain.blocks.len()), (tip, blocks));
    refused
}

fn payment() -> SignedTransaction {
    let note = settings().genesis.account_note(0).unwrap();
    let pk = account_key(1).public();
    transfer(&[(note, &account_key(0))], vec![Output { value: 100, pk }]).transaction
}

fn ids(blocks: &[Arc<Block>]) -> Vec<HeaderId> {
    blocks.iter().map(|block| block.id()).collect()
}

#[test]
fn the_longest_chain_is_followed() {
    let (mut one, mut two) = (chain(), chain());
    let a = [grow(&mut one, 0, 1, vec![payment()]), grow(&mut one, 0, 2, vec![])];
    let b = [1, 3, 4].map(|slot| grow(&mut two, 1, slot, vec![]));
    assert_eq!(one.inclusion(&payment().id()), Some(a[0].id()));
    add(&mut one, &b[0]);
    assert_eq!(one.tip(), a[1].id());
    // As high as the tip: which of them is followed does not depend on which came first.
    let tie = add(&mut one, &b[1]).is_tip;
    assert_eq!(tie, b[1].id() < a[1].id());
    let applied = add(&mut one, &b[2]);
    assert_eq!((one.tip(), one.height(), one.slot()), (b[2].id(), 3, 4));
    assert_eq!(one.inclusion(&payment().id()), None);
    if !tie {
        assert_eq!(ids(&applied.abandoned), ids(&a));
        assert_eq!(ids(&applied.adopted), ids(&b));
    }
    assert_eq!(one.ledger().balance(&account_key(0).public()), 100);
}

#[test]
fn ties_are_broken_alike_whatever_came_first() {
    let blocks = [0, 1, 2].map(|index| grow(&mut chain(), index, 1, vec![]));
    let least = blocks.iter().map(|block| block.id()).min().unwrap();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut chain = chain();
        order.iter().for_each(|index| drop(add(&mut chain, &blocks[*index])));
        assert_eq!(chain.tip(), least);
    }
}

#[test]
fn nothing_is_reorganised_below_the_lib() {
    let (mut one, mut two) = (chain(), chain());
    let common = grow(&mut one, 0, 1, vec![]);
    add(&mut two, &common);
    let fork: Vec<_> = (3..20).map(|slot| grow(&mut two, 1, slot, vec![])).collect();
    assert_eq!(one.lib(), one.genesis());
    for slot in 2..=K {
        grow(&mut one, 0, slot, vec![]);
    }
    assert_eq!((one.height(), one.lib()), (K, one.genesis()));
    grow(&mut one, 0, K + 1, vec![]);
    assert_eq!((one.lib(), one.lib_height()), (common.id(), 1));
    // On the LIB a fork may begin, below it none.
    add(&mut one, &fork[0]);
    let block = grow(&mut one, 0, 30, vec![]);
    assert_eq!(one.lib_height(), 2);
    assert!(!one.contains(&fork[0].id()), "a branch that can never be followed is forgotten");
    assert_eq!(one.add(fork[0].clone(), LATEST).unwrap_err(), Refused::BelowLib);
    assert!(matches!(one.add(fork[1].clone(), LATEST), Ok(Added::Orphan)));
    assert_eq!(one.tip(), block.id());
    assert!(one.block(&common.id()).is_some() && one.ledger_after(&common.id()).is_none());
}

#[test]
fn final_blocks_are_told_once_and_in_order() {
    let mut chain = chain();
    let mut told = Vec::new();
    let mut made = Vec::new();
    for slot in 1..=10 {
        let block = Arc::new(chain.make(&leader(0), slot, vec![]).unwrap());
        told.extend(add(&mut chain, &block).finalized);
        made.push((slot, block.id()));
    }
    assert_eq!(told, made[..7]);
}

#[test]
fn a_block_that_breaks_a_rule_changes_nothing() {
    let mut chain = chain();
    grow(&mut chain, 0, 5, vec![]);
    let good = chain.make(&leader(1), 6, vec![payment()]).unwrap();
    let signed = |change: &dyn Fn(&mut Block)| {
        let mut block = good.clone();
        change(&mut block);
        block.signature = leader(1).sign(&block.id().0);
        block
    };
    let refused = invalid(&mut chain, signed(&|block| block.header.slot = 7));
    assert_eq!(refused, Invalid::Lottery { slot: 7 });
    let refused = invalid(&mut chain, signed(&|block| block.header.slot = 5));
    assert_eq!(refused, Invalid::SlotOrder { slot: 5, parent: 5 });
    let refused = invalid(&mut chain, signed(&|block| block.header.slot = LATEST + 1));
    assert_eq!(refused, Invalid::Future { slot: LATEST + 1, latest: LATEST });
    let refused = invalid(&mut chain, signed(&|block| block.header.proof_of_leadership.proof[3] ^= 1));
    assert_eq!(refused, Invalid::Lottery { slot: 6 });
    let stolen = leader(2).public();
    let refused = invalid(&mut chain, signed(&|block| block.header.proof_of_leadership.leader_key = stolen));
    assert_eq!(refused, Invalid::Lottery { slot: 6 });
    let refused = invalid(&mut chain, signed(&|block| block.transactions.clear()));
    assert_eq!(refused, Invalid::BlockRoot);
    let unsigned = Block { signature: leader(2).sign(&good.id().0), ..good.clone() };
    assert_eq!(invalid(&mut chain, unsigned), Invalid::Signature);
    let twice = chain.make(&leader(1), 6, vec![payment(), payment()]).unwrap();
    assert!(matches!(invalid(&mut chain, twice), Invalid::Transaction { .. }));
    let many = chain.make(&leader(1), 6, vec![payment(); MAX_TRANSACTIONS + 1]).unwrap();
    assert_eq!(invalid(&mut chain, many), Invalid::TooHeavy);
    add(&mut chain, &Arc::new(good));
}

#[test]
fn two_blocks_of_one_leader_in_one_slot_are_seen() {
    let mut chain = chain();
    let first = chain.make(&leader(0), 1, vec![]).unwrap();
    let second = chain.make(&leader(0), 1, vec![payment()]).unwrap();
    let other = chain.make(&leader(1), 1, vec![]).unwrap();
    let id = first.id();
    assert_eq!(add(&mut chain, &Arc::new(first)).equivocation, None);
    assert_eq!(add(&mut chain, &Arc::new(other)).equivocation, None);
    assert_eq!(add(&mut chain, &Arc::new(second)).equivocation, Some(id));
}

#[test]
fn another_node_finds_what_it_missed() {
    let (mut one, mut two) = (chain(), chain());
    let common: Vec<_> = (1..=40).map(|slot| grow(&mut one, 0, slot, vec![])).collect();
    common.iter().for_each(|block| drop(add(&mut two, block)));
    let more: Vec<_> = (41..=60).map(|slot| grow(&mut one, 0, slot, vec![])).collect();
    grow(&mut two, 1, 41, vec![]);
    assert_eq!(one.path(&two.locator(), None, 100), ids(&more));
    assert_eq!(one.path(&two.locator(), None, 5), ids(&more[..5]));
    assert_eq!(one.path(&two.locator(), Some(more[2].id()), 100), ids(&more[..3]));
    assert_eq!(one.path(&chain().locator(), None, 100).len(), 60);
    assert_eq!(one.path(&one.locator(), None, 100), []);
    let fork = Arc::new(two.make(&leader(2), 50, vec![]).unwrap());
    add(&mut two, &fork);
    let path = two.path(&one.locator(), Some(fork.id()), 100);
    assert!(path.ends_with(&[two.block(&fork.id()).unwrap().header.parent_block, fork.id()]));
    assert!(path.len() < 20, "{} blocks for two that are missing", path.len());
}

#[test]
fn headers_go_down_from_the_tip() {
    let mut chain = chain();
    let made: Vec<_> = (1..=6).map(|slot| grow(&mut chain, 0, slot, vec![]).id()).collect();
    let down = |from: usize, to: usize| made[to..=from].iter().rev().copied().collect::<Vec<_>>();
    assert_eq!(chain.headers(chain.tip(), chain.lib(), 512), down(5, 2));
    assert_eq!(chain.headers(made[3], made[1], 512), down(3, 1));
    assert_eq!(chain.headers(made[3], made[1], 2), down(3, 2));
    assert_eq!(chain.headers(made[0], HeaderId::default(), 512), [made[0], chain.genesis()]);
    assert_eq!(chain.headers(HeaderId([1; 32]), made[0], 512), []);
}

#[test]
fn stake_decides_how_often_a_leader_wins() {
    let mut settings = settings();
    settings.active_slot_coeff = 0.5;
    settings.genesis.leaders[0].value = 2000;
    settings.genesis.leaders[1].value = 1000;
    settings.genesis.leaders[2].value = 1000;
    let lottery = Lottery::new(&settings, Digest::default());
    let wins = |index: u8, slot: u64| lottery.draw(&leader(index), slot, Digest::default()).is_some();
    let slots = 2000;
    let count = |index| u32::try_from((1..=slots).filter(|slot| wins(index, *slot)).count()).unwrap();
    let chances = [0.5, 0.25, 0.25].map(|share: f64| 1.0 - 0.5_f64.powf(share));
    for (index, chance) in chances.into_iter().enumerate() {
        let share = f64::from(count(u8::try_from(index).unwrap())) / 2000.0;
        // Four standard deviations.
        assert!((share - chance).abs() < 4.0 * (chance * (1.0 - chance) / 2000.0).sqrt(), "{index}: {share}");
    }
    let led = (1..=slots).filter(|slot| (0..3).any(|index| wins(index, *slot))).count();
    assert!((900..1100).contains(&led), "{led}");
    assert!(lottery.draw(&leader(7), 1, Digest::default()).is_none(), "no stake, no slot");
}

#[test]
fn chains_of_different_configurations_share_nothing() {
    let other = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        Chain::new(&settings).genesis()
    };
    let same = other(&|settings| settings.node_key = leader(8));
    assert_eq!(same, chain().genesis());
    let changes: [&dyn Fn(&mut Settings); 5] = [
        &|settings| settings.start_time += Duration::from_millis(1),
        &|settings| settings.slot *= 2,
        &|settings| settings.security_param += 1,
        &|settings| settings.active_slot_coeff = 0.9,
        &|settings| settings.genesis.accounts.truncate(1),
    ];
    for change in changes {
        assert_ne!(other(change), same);
    }
}

fn add_unsampled(chain: &mut Chain, block: &Arc<Block>) -> Applied {
    match chain.add_unsampled(block.clone(), LATEST) {
        Ok(Added::Applied(applied)) => applied,
        other => panic!("{other:?}"),
    }
}

/// Blocks on each other, as another node made them.
fn made(count: u64) -> Vec<Arc<Block>> {
    let mut other = chain();
    (1..=count).map(|slot| grow(&mut other, 0, slot, vec![])).collect()
}

#[test]
fn a_block_is_followed_once_its_data_is_available() {
    let (mut chain, blocks) = (chain(), made(2));
    assert!(!add_unsampled(&mut chain, &blocks[0]).is_tip);
    // Neither is what builds on it.
    assert!(!add(&mut chain, &blocks[1]).is_tip);
    assert_eq!((chain.height(), chain.unsampled().count()), (0, 1));
    let applied = chain.sampled(&blocks[0].id());
    assert_eq!((applied.is_tip, applied.adopted), (true, blocks.clone()));
    assert_eq!((chain.tip(), chain.unsampled().count()), (blocks[1].id(), 0));
    assert!(!chain.sampled(&blocks[0].id()).is_tip);
}

#[test]
fn data_deep_in_the_chain_need_not_be_there_any_more() {
    let (mut chain, blocks) = (chain(), made(7));
    for block in &blocks[..3] {
        add_unsampled(&mut chain, block);
    }
    assert_eq!(chain.height(), 0);
    // These two tell of no data.
    add(&mut chain, &blocks[3]);
    assert_eq!(chain.height(), 0);
    let applied = add(&mut chain, &blocks[4]);
    assert_eq!((applied.adopted.len(), chain.height()), (5, 5));
    assert_eq!(chain.unsampled().count(), 0);
    add_unsampled(&mut chain, &blocks[5]);
    add_unsampled(&mut chain, &blocks[6]);
    assert_eq!(chain.height(), 5);
    // The order in which data is found does not matter.
    assert!(!chain.sampled(&blocks[6].id()).is_tip);
    assert!(chain.sampled(&blocks[5].id()).is_tip);
    assert_eq!(chain.height(), 7);
}
