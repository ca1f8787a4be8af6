//! What waits, in which order, and what becomes of it when the chain changes.

use super::*;
use crate::genesis::{Genesis, Note};
use crate::wallet::{Transfer, account_key, transfer};
use crate::wire::{
    Block, ChannelId, Digest, Header, HeaderId, Inscription, LeaderPublic, MantleTx, MessageId, Op, OpProof,
    Output, ProofOfLeadership, PublicKey, Signature, Signatures, Version,
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
    pool.select(&Arc::new(Ledger::new(&genesis())), |_| true).iter().map(SignedTransaction::id).collect()
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

/// An inscription of nearly the longest transaction, into a channel of its own.
fn long(channel: u8) -> SignedTransaction {
    let owner = account_key(0);
    let op = Op::Inscribe(Inscription {
        channel_id: ChannelId([channel; 32]),
        inscription: vec![channel; 60 * 1024],
        parent: MessageId::default(),
        signer: owner.public(),
    });
    let mantle_tx = MantleTx { ops: vec![op], ..MantleTx::default() };
    let ops_proofs = vec![OpProof::Ed25519Sig(owner.sign(&mantle_tx.id().0))];
    SignedTransaction { mantle_tx, ops_proofs, ledger_tx_proof: Signatures::default() }
}

#[test]
fn a_full_pool_refuses_and_takes_again_when_blocks_have_made_room() {
    let mut pool = pool();
    let mut waiting = Vec::new();
    let refused = loop {
        let transaction = Arc::new(long(u8::try_from(waiting.len()).expect("the pool fills")));
        match pool.add(transaction.clone()) {
            Ok(()) => waiting.push(transaction),
            Err(error) => break (transaction, error),
        }
    };
    assert_eq!(refused.1, Rejection::Full);
    let weight: usize = waiting.iter().map(|transaction| transaction.weight()).sum();
    assert!(weight <= MAX_PENDING_WEIGHT && weight + refused.0.weight() > MAX_PENDING_WEIGHT);
    let mut ledger = Ledger::new(&genesis());
    ledger.apply(&waiting[0]).unwrap();
    let block = Block { transactions: vec![(*waiting[0]).clone()], ..(*block(&[])).clone() };
    let change = Applied { adopted: vec![Arc::new(block)], ..Applied::default() };
    pool.rebase(&Arc::new(ledger), &change);
    pool.add(refused.0).unwrap();
}

#[test]
fn what_comes_too_early_is_bounded_as_well() {
    let mut pool = pool();
    let early = pay(first(0, 1).notes[0], 1, 2);
    for _ in 0..2 * MAX_PARKED {
        pool.park(Arc::new(early.transaction.clone()), "early");
    }
    assert_eq!(pool.parked.len(), MAX_PARKED);
}

#[test]
fn what_may_not_be_taken_yet_is_left_out_with_what_builds_on_it() {
    let mut pool = pool();
    let (one, other) = (first(0, 1), first(2, 3));
    let spends_one = pay(one.notes[0], 1, 4);
    for transfer in [&one, &other, &spends_one] {
        add(&mut pool, transfer).unwrap();
    }
    let before = Arc::new(Ledger::new(&genesis()));
    let selected = |left_out: &Transfer| {
        let selected = pool.select(&before, |transaction| transaction.id() != left_out.id);
        selected.iter().map(SignedTransaction::id).collect::<Vec<_>>()
    };
    assert_eq!(selected(&one), [other.id]);
    assert_eq!(selected(&other), [one.id, spends_one.id]);
    assert_eq!(pool.len(), 3);
}
