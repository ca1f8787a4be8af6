//! Every rule of the ledger, by a transaction that breaks it and no other.

use super::*;
use crate::keys::SecretKey;
use crate::wallet::{account_key, transfer};
use crate::wire::{ChannelId, Inscription, MantleTx, MessageId, SetKeys, Signatures};

fn to(owner: &SecretKey, value: u64) -> Output {
    Output { value, pk: owner.public() }
}

/// Two accounts with 100 each.
fn genesis() -> Genesis {
    Genesis { leaders: vec![], accounts: vec![to(&account_key(0), 100), to(&account_key(1), 100)] }
}

/// A transfer of account 0's note into `outputs`, changed by `change` and then signed again.
fn changed(outputs: &[u64], change: impl FnOnce(&mut MantleTx)) -> SignedTransaction {
    let owner = account_key(0);
    let outputs = outputs.iter().map(|value| to(&account_key(1), *value)).collect();
    let mut transaction = transfer(&[(genesis().account_note(0).unwrap(), &owner)], outputs).transaction;
    change(&mut transaction.mantle_tx);
    let id = transaction.id();
    let signatures = transaction.mantle_tx.ledger_tx.inputs.iter().map(|_| owner.sign(&id.0)).collect();
    transaction.ledger_tx_proof = Signatures { signatures };
    transaction
}

/// A transaction of operations alone, all signed by `signer`.
fn operations(signer: &SecretKey, ops: Vec<Op>) -> SignedTransaction {
    let mantle_tx = MantleTx { ops, ..MantleTx::default() };
    let proof = OpProof::Ed25519Sig(signer.sign(&mantle_tx.id().0));
    let ops_proofs = mantle_tx.ops.iter().map(|_| proof.clone()).collect();
    SignedTransaction { mantle_tx, ops_proofs, ledger_tx_proof: Signatures::default() }
}

fn inscribe(signer: &SecretKey, parent: MessageId) -> Op {
    Op::Inscribe(Inscription {
        channel_id: ChannelId([7; 32]),
        inscription: b"hello".to_vec(),
        parent,
        signer: signer.public(),
    })
}

fn check(transaction: &SignedTransaction, refusal: &str) {
    let error = Ledger::new(&genesis()).validate(transaction).unwrap_err().to_string();
    assert!(error.contains(refusal), "expected {refusal:?}, got {error:?}");
}

#[test]
fn a_transfer_moves_value_once() {
    let mut ledger = Ledger::new(&genesis());
    let root = ledger.root();
    let transaction = changed(&[60, 40], |_| ());
    ledger.validate(&transaction).unwrap();
    ledger.apply(&transaction).unwrap();
    assert_eq!(ledger.balance(&account_key(0).public()), 0);
    assert_eq!(ledger.balance(&account_key(1).public()), 200);
    assert_ne!(ledger.root(), root);
    let after = ledger.clone();
    let error = ledger.apply(&transaction).unwrap_err();
    assert!(matches!(error, Refusal::InputUnknown { index: 0, .. }), "{error}");
    assert_eq!(ledger, after);
}

#[test]
fn every_rule_of_transfers_is_kept() {
    check(&changed(&[7], |_| ()), "the same sum, these have 100 and 7");
    check(&changed(&[100, 0], |_| ()), "output 1 is");
    check(&changed(&[u64::MAX, 100], |_| ()), "these have 100 and 18446744073709551715");
    check(&changed(&[100], |tx| tx.ledger_tx.inputs[0].0[0] ^= 1), "unknown or already spent");
    check(&changed(&[200], |tx| tx.ledger_tx.inputs.push(tx.ledger_tx.inputs[0])), "input 1 repeats");
    check(&changed(&[100], |tx| tx.execution_gas_price = 1), "gas prices must be 0");
    check(&changed(&[100], |tx| tx.storage_gas_price = 1), "gas prices must be 0");
    check(&changed(&[1; 256], |_| ()), "at most 255 outputs are allowed, this transaction has 256");
    let many = |tx: &mut MantleTx| tx.ledger_tx.inputs = vec![NoteId::default(); 256];
    check(&changed(&[100], many), "at most 255 inputs");
    check(&changed(&[], |tx| tx.ledger_tx.inputs.clear()), "needs an input or an operation");
    let second = genesis().account_note(1).unwrap();
    check(
        &changed(&[200], |tx| tx.ledger_tx.inputs.push(second.id)),
        "Invalid signature for input at index 1",
    );
}

#[test]
fn every_input_needs_its_owner() {
    let note = genesis().account_note(0).unwrap();
    let stolen = transfer(&[(note, &account_key(1))], vec![to(&account_key(1), 100)]);
    check(&stolen.transaction, "Invalid signature for input at index 0");
    let mut unsigned = changed(&[100], |_| ());
    unsigned.ledger_tx_proof.signatures.clear();
    check(&unsigned, "every input needs one signature, there are 0 for 1");
    let mut altered = changed(&[100], |_| ());
    altered.mantle_tx.ledger_tx.outputs[0].pk = account_key(2).public();
    check(&altered, "Invalid signature for input at index 0");
}

#[test]
fn a_channel_grows_at_its_tip_by_its_keys() {
    let (owner, other) = (account_key(0), account_key(1));
    let mut ledger = Ledger::new(&genesis());
    let mut add = |transaction: &SignedTransaction| {
        ledger
            .validate(transaction)
            .and_then(|()| ledger.apply(transaction))
            .map_err(|error| error.to_string())
    };
    let first = inscribe(&owner, MessageId::default());
    let tip = first.message_id();
    add(&operations(&owner, vec![first.clone()])).unwrap();
    let refused = add(&operations(&owner, vec![first])).unwrap_err();
    assert!(refused.contains(&format!("the parent must be the channel's tip {tip}")), "{refused}");
    let refused = add(&operations(&other, vec![inscribe(&other, tip)])).unwrap_err();
    assert!(refused.contains("none of the channel's keys"), "{refused}");
    let keys =
        Op::SetKeys(SetKeys { channel: ChannelId([7; 32]), keys: vec![owner.public(), other.public()] });
    let refused = add(&operations(&other, vec![keys.clone()])).unwrap_err();
    assert_eq!(refused, "Invalid signature for operation at index 0");
    add(&operations(&owner, vec![keys.clone()])).unwrap();
    assert!(add(&operations(&owner, vec![keys])).unwrap_err().contains("these keys already"));
    add(&operations(&other, vec![inscribe(&other, tip)])).unwrap();
}

#[test]
fn every_operation_needs_its_signer() {
    let owner = account_key(0);
    let op = inscribe(&owner, MessageId::default());
    check(&operations(&account_key(1), vec![op.clone()]), "Invalid signature for operation at index 0");
    let mut unproven = operations(&owner, vec![op]);
    unproven.ops_proofs[0] = OpProof::NoProof;
    check(&unproven, "Invalid signature for operation at index 0");
    unproven.ops_proofs.clear();
    check(&unproven, "every operation needs one proof, there are 0 for 1");
}
