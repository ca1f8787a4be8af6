//! What waits, in which order, and what becomes of it when the chain changes.

use super::*;
use crate::genesis::{Genesis, Note};
use crate::wallet::{Transfer, account_key, transfer};
use crate::wire::{
    Block, Digest, Header, HeaderId, LeaderPublic, Output, ProofOfLeadership, PublicKey, Signature, Version,
};

fn genesis() -> Genesis {
    let account = |index| Output { value: 1000, pk: account_key(index).public() };
    Genesis { leaders: vec![], accounts: (0..5).map(account).collect() }
}

fn pool() -> Mempool<&'static str> {
    Mempool::new(Arc::new(Ledger::new(&genesis())))
}

/// Account `from` gives all of a note to account `to`.
fn pay(note: Note, from: u64, to: u64) -> Transfer {
    let pk = account_key(to).public();
    transfer(&[(note, &account_key(from))], vec![Output { value: note.output.value, pk }])
}

fn first(from: u64, to: u64) -> Transfer {
    pay(genesis().account_note(usize::try_from(from).unwrap()).unwrap(), from, to)
}

fn add(pool: &mut Mempool<&'static str>, transfer: &Transfer) -> Result<(), Rejection> {
    pool.add(Arc::new(transfer.transaction.clone()))
}

fn pending(pool: &Mempool<&'static str>) -> Vec<TransactionId> {
    pool.select().iter().map(SignedTransaction::id).collect()
}

/// A block of these transactions; the pool looks at nothing else.
fn block(transfers: &[&Transfer]) -> Arc<Block> {
    let public = LeaderPublic {
        slot: 1,
        epoch_nonce: Digest::default(),
        total_stake: 0,
        aged_root: Digest::default(),
        latest_root: Digest::default(),
    };
    let proof_of_leadership = ProofOfLeadership {
        proof: [0; 128],
        entropy_contribution: Digest::default(),
        leader_key: PublicKey::default(),
        voucher_cm: Digest::default(),
        public,
    };
    let header = Header {
        version: Version::Bedrock,
        parent_block: HeaderId::default(),
        slot: 1,
        block_root: Digest::default(),
        proof_of_leadership,
    };
    let transactions = transfers.iter().map(|transfer| transfer.transaction.clone()).collect();
    Arc::new(Block { header, signature: Signature([0; 64]), transactions })
}

/// Moves the pool from a chain with one block to a chain with another.
fn change(
    pool: &mut Mempool<&'static str>,
    abandoned: &[&Transfer],
    adopted: &[&Transfer],
) -> Vec<&'static str> {
    let mut ledger = Ledger::new(&genesis());
    adopted.iter().for_each(|transfer| ledger.apply(&transfer.transaction).unwrap());
    let change =
        Applied { abandoned: vec![block(abandoned)], adopted: vec![block(adopted)], ..Applied::default() };
    pool.rebase(&Arc::new(ledger), &change).into_iter().map(|(_, token)| token).collect()
}

#[test]
fn transactions_wait_in_order_and_once() {
    let mut pool = pool();
    let a = first(0, 1);
    let b = pay(a.notes[0], 1, 2);
    add(&mut pool, &a).unwrap();
    add(&mut pool, &b).unwrap();
    assert_eq!(add(&mut pool, &a), Err(Rejection::Known));
    let double = first(0, 3);
    assert!(matches!(add(&mut pool, &double), Err(Rejection::Invalid(Refusal::InputUnknown { .. }))));
    assert_eq!(pending(&pool), [a.id, b.id]);
}

#[test]
fn what_a_block_takes_is_gone_and_what_it_makes_invalid_is_dropped() {
    let mut pool = pool();
    let (a, b) = (first(0, 1), first(1, 2));
    add(&mut pool, &a).unwrap();
    add(&mut pool, &b).unwrap();
    let instead = first(1, 3);
    change(&mut pool, &[], &[&a, &instead]);
    assert!(pool.is_empty());
    assert!(pool.has_dropped(&b.id) && !pool.has_dropped(&a.id));
}

#[test]
fn transactions_of_abandoned_blocks_come_back_first() {
    let mut pool = pool();
    let a = first(0, 1);
    let (b, c) = (pay(a.notes[0], 1, 2), first(1, 2));
    change(&mut pool, &[], &[&a]);
    add(&mut pool, &b).unwrap();
    add(&mut pool, &c).unwrap();
    change(&mut pool, &[&a], &[]);
    assert_eq!(pending(&pool), [a.id, b.id, c.id]);
    change(&mut pool, &[&a], &[&a]);
    assert_eq!(pending(&pool), [b.id, c.id]);
}

#[test]
fn what_comes_too_early_waits_for_its_inputs() {
    let mut pool = pool();
    let a = first(0, 1);
    let b = pay(a.notes[0], 1, 2);
    assert!(matches!(add(&mut pool, &b), Err(Rejection::Invalid(refusal)) if refusal.may_pass()));
    pool.park(Arc::new(b.transaction.clone()), "b");
    assert_eq!(change(&mut pool, &[], &[]), [""; 0]);
    assert_eq!(change(&mut pool, &[], &[&a]), ["b"]);
    assert_eq!(pending(&pool), [b.id]);
    let never = pay(Note { id: crate::wire::NoteId::default(), ..a.notes[0] }, 1, 2);
    pool.park(Arc::new(never.transaction), "never");
    for _ in 0..=MAX_PARKED_CHANGES {
        change(&mut pool, &[], &[]);
    }
    assert!(pool.parked.is_empty());
}

#[test]
fn a_block_takes_what_fits_from_the_front() {
    let mut pool = pool();
    let mut sent = Vec::new();
    for account in 0..5 {
        let (owner, note) = (account_key(account), genesis().notes().nth(account as usize).unwrap());
        let split = transfer(&[(note, &owner)], vec![Output { value: 4, pk: owner.public() }; 250]);
        add(&mut pool, &split).unwrap();
        sent.push(split.id);
        for note in split.notes {
            let moved = pay(note, account, account);
            add(&mut pool, &moved).unwrap();
            sent.push(moved.id);
        }
    }
    assert_eq!(pool.len(), 1255);
    assert_eq!(pending(&pool), sent[..MAX_TRANSACTIONS]);
}
