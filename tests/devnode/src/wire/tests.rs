//! What the production node was seen to write is read and written back without a change.

use std::fs;

use expect_test::expect;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::genesis::Genesis;
use crate::wallet::{account_key, transfer};

/// Every document of a captured file is read as `T` and written back as it was.
fn check<T: DeserializeOwned + Serialize>(file: &str) -> Vec<T> {
    let path = format!("{}/testdata/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let documents = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let read = |document: Result<Value, _>| {
        let document = document.unwrap();
        let value: T = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(serde_json::to_value(&value).unwrap(), document);
        value
    };
    documents.map(read).collect()
}

#[test]
fn captured_transactions_fit_the_types() {
    for file in ["wallet-transfer.json", "bad-transfer.json", "blob-transaction.json"] {
        for transaction in check::<SignedTransaction<Groth16Proof>>(file) {
            let value = serde_json::to_value(&transaction).unwrap();
            assert_eq!(transaction_id(&value), Ok(transaction.id()));
        }
    }
}

#[test]
fn captured_blocks_fit_the_types() {
    for file in ["block-ab2f.json", "block-c71f.json", "block-with-transfer.json"] {
        assert_eq!(check::<Block<Groth16Proof>>(file).len(), 1);
    }
}

#[test]
fn an_own_transaction_has_the_same_envelope() {
    let account = |index| Output { value: 100, pk: account_key(index).public() };
    let genesis = Genesis { leaders: vec![], accounts: vec![account(0), account(1)] };
    let sent = transfer(&[(genesis.account_note(0).unwrap(), &account_key(0))], vec![account(1)]);
    let mut value = serde_json::to_value(&sent.transaction).unwrap();
    assert_eq!(transaction_id(&value), Ok(sent.id));
    let signature = value["ledger_tx_proof"]["signatures"][0].take();
    assert_eq!(signature.as_array().unwrap().len(), 64);
    expect![[r#"
        {
          "ledger_tx_proof": {
            "signatures": [
              null
            ]
          },
          "mantle_tx": {
            "execution_gas_price": 0,
            "ledger_tx": {
              "inputs": [
                "6537b3a8378e37e63d692f62160ac7c9c8274d84b9cdc61b12ce77ad13e647ca"
              ],
              "outputs": [
                {
                  "pk": "7a5c13c2f729f16e34c67afad709f4fa5451bc9941784dc1afe51ac2d9835397",
                  "value": 100
                }
              ]
            },
            "ops": [],
            "storage_gas_price": 0
          },
          "ops_proofs": []
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&value).unwrap());
    expect!["e7f2ce8854e0b937b4e55a211888c3fd6213a4236485f20048ab8d8f8687660d"]
        .assert_eq(&sent.id.to_string());
    expect!["dd645b83801eb36de17f85c1c697b7ee96e7f7d452b583b8247171c1a865d3e4"]
        .assert_eq(&sent.notes[0].id.to_string());
}

#[test]
fn proofs_do_not_change_the_id() {
    let account = |index| Output { value: 100, pk: account_key(index).public() };
    let genesis = Genesis { leaders: vec![], accounts: vec![account(0)] };
    let mut sent = transfer(&[(genesis.account_note(0).unwrap(), &account_key(0))], vec![account(1)]);
    sent.transaction.ledger_tx_proof.signatures.clear();
    assert_eq!(sent.transaction.id(), sent.id);
}

#[test]
fn wrong_shapes_are_told() {
    let check = |value: Value, expected: &str| {
        let error = serde_json::from_value::<Op>(value).unwrap_err().to_string();
        assert!(error.contains(expected), "expected {expected:?}, got {error:?}");
    };
    check(json!({"opcode": 48, "payload": {}}), "unknown opcode 48, expected 0, 1 or 2");
    check(json!({"opcode": 0, "payload": {}}), "payload of opcode 0: missing field `channel_id`");
    assert_eq!(transaction_id(&json!({})), Err("a transaction without `mantle_tx`".to_owned()));
    let short = serde_json::from_value::<Signature>(json!([1, 2])).unwrap_err().to_string();
    assert_eq!(short, "invalid length 2, expected an array of 64 bytes");
}
