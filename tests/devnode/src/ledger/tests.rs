//! Every rule of the ledger, by a transaction that breaks it and no other.

use super::*;
use crate::keys::SecretKey;
use crate::wallet::{account_key, transfer};
use crate::wire::{Blob, BlobId, ChannelId, Inscription, MantleTx, MessageId, SetKeys, Signatures};

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
fn blobs_are_messages_like_others() {
    let (owner, other) = (account_key(0), account_key(1));
    let mut ledger = Ledger::new(&genesis());
    let opening = inscribe(&owner, MessageId::default());
    let channel = ChannelId([7; 32]);
    let blob = |signer: &SecretKey, session, parent| {
        let (blob, signer) = (BlobId([1; 32]), signer.public());
        Op::Blob(Blob { channel, session, blob, blob_size: 31, da_storage_gas_price: 0, parent, signer })
    };
    let mut add = |signer: &SecretKey, op: &Op| {
        let transaction = operations(signer, vec![op.clone()]);
        let judged = ledger.validate(&transaction).and_then(|()| ledger.apply(&transaction));
        judged.map_err(|error| error.to_string())
    };
    add(&owner, &opening).unwrap();
    let tip = opening.message_id();
    let published = blob(&owner, 0, tip);
    let refused = [
        (
            &owner,
            blob(&owner, 0, MessageId::default()),
            format!("the parent must be the channel's tip {tip}"),
        ),
        (&other, blob(&other, 0, tip), "none of the channel's keys".to_owned()),
        (&other, published.clone(), "Invalid signature for operation at index 0".to_owned()),
        (&owner, blob(&owner, 1, tip), "no session but 0, this blob is of session 1".to_owned()),
    ];
    for (signer, op, expected) in refused {
        let error = add(signer, &op).unwrap_err();
        assert!(error.contains(&expected), "{error}");
    }
    add(&owner, &published).unwrap();
    add(&owner, &blob(&owner, 0, published.message_id())).unwrap();
}

fn set_keys(keys: Vec<PublicKey>) -> Op {
    Op::SetKeys(SetKeys { channel: ChannelId([7; 32]), keys })
}

#[test]
fn whoever_opens_a_channel_by_its_keys_owns_it() {
    let [owner, other] = [account_key(0), account_key(1)];
    let [alone, both] = [vec![owner.public()], vec![owner.public(), other.public()]];
    let mut ledger = Ledger::new(&genesis());
    let mut add = |signer: &SecretKey, op: Op| {
        let transaction = operations(signer, vec![op]);
        let judged = ledger.validate(&transaction).and_then(|()| ledger.apply(&transaction));
        judged.map_err(|error| error.to_string())
    };
    let signature = Err("Invalid signature for operation at index 0".to_owned());
    assert_eq!(add(&other, set_keys(both.clone())), signature);
    add(&owner, set_keys(both.clone())).unwrap();
    assert_eq!(add(&other, set_keys(alone.clone())), signature);
    let first = inscribe(&other, MessageId::default());
    add(&other, first.clone()).unwrap();
    add(&owner, set_keys(alone)).unwrap();
    // What was signed before does not give a key back that was taken away.
    let refused = add(&owner, set_keys(both)).unwrap_err();
    assert!(refused.contains("this transaction has set the channel's keys before"), "{refused}");
    let refused = add(&other, inscribe(&other, first.message_id())).unwrap_err();
    assert!(refused.contains("none of the channel's keys"), "{refused}");
}

#[test]
fn every_list_of_operations_has_its_bounds() {
    let owner = account_key(0);
    let keys = |count: usize| set_keys(vec![owner.public(); count]);
    let ledger = Ledger::new(&genesis());
    ledger.validate(&operations(&owner, vec![keys(255)])).unwrap();
    check(&operations(&owner, vec![keys(256)]), "a channel has 1 to 255 keys, these are 256");
    let mut nobody = operations(&owner, vec![keys(0)]);
    check(&nobody, "a channel has 1 to 255 keys, these are 0");
    nobody.mantle_tx.ops = vec![keys(1); 256];
    check(&nobody, "at most 255 operations are allowed, this transaction has 256");
    let long = |length: usize| {
        let (channel_id, parent, signer) = (ChannelId([7; 32]), MessageId::default(), owner.public());
        let op = Op::Inscribe(Inscription { channel_id, inscription: vec![0; length], parent, signer });
        operations(&owner, vec![op])
    };
    let most = MAX_TRANSACTION_LENGTH - long(0).mantle_tx.encoded_length();
    ledger.validate(&long(most)).unwrap();
    check(&long(most + 1), "a transaction may be 65536 bytes long, this one is 65537");
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
