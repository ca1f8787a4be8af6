//! The API's codes, types and texts.

use std::process::Stdio;

use libtest_mimic::Trial;
use logos_scenario_devnode::wire::{ApiBlock, Block};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Layout, spawn, until};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("answers_are_as_documented", answers_are_as_documented),
        trial("transactions_are_judged_at_once", transactions_are_judged_at_once),
        trial("streams_follow_the_chain", streams_follow_the_chain),
        trial("answers_have_the_shape_of_what_was_captured", answers_have_the_shape_of_what_was_captured),
        trial("metrics_have_the_documented_names", metrics_have_the_documented_names),
    ]
}

pub(crate) async fn one_node() -> Cluster {
    let mut cluster = Cluster::new(1, "200ms", Layout::Star, |_, config| config.security_param = 2);
    cluster.start().await;
    until("it is at height 4", 20, async || cluster.height(0).await >= 4).await;
    cluster
}

pub(crate) type Request<'a> = (&'a str, &'a str, Option<&'a str>, &'a str);

pub(crate) fn get(path: &str) -> Request<'_> {
    ("GET", path, None, "")
}

pub(crate) fn post<'a>(path: &'a str, body: &'a str) -> Request<'a> {
    ("POST", path, Some("application/json"), body)
}

/// Sends a request as it is; the code and the body of the answer, by exact text or by its beginning.
pub(crate) async fn check(cluster: &Cluster, request: Request<'_>, code: u16, text: &str) {
    let (method, path, content_type, body) = request;
    let mut builder = cluster.client.request(method.parse().unwrap(), cluster.url(0, path));
    if let Some(content_type) = content_type {
        builder = builder.header("content-type", content_type);
    }
    let response = builder.body(body.to_owned()).send().await.unwrap();
    let answer = (response.status().as_u16(), response.text().await.unwrap());
    let fits = text.strip_suffix('…').map_or(answer.1 == text, |text| answer.1.starts_with(text));
    assert!(answer.0 == code && fits, "{method} {path} {body:.80}: {answer:?}");
}

async fn answers_are_as_documented() {
    let cluster = one_node().await;
    check(&cluster, get("/no/such/path"), 404, "").await;
    check(&cluster, ("POST", "/cryptarchia/info", None, ""), 405, "").await;
    check(&cluster, get("/storage/block"), 405, "").await;
    let wrong_type = "Expected request with `Content-Type: application/json`";
    check(&cluster, ("POST", "/storage/block", None, "1"), 415, wrong_type).await;
    check(&cluster, ("POST", "/mempool/add/tx", Some("text/plain"), "{}"), 415, wrong_type).await;
    let malformed = "Failed to parse the request body as JSON: expected value at line 1 column 1";
    check(&cluster, post("/storage/block", "x"), 400, malformed).await;
    let shape = "Failed to deserialize the JSON body into the target type: …";
    check(&cluster, post("/storage/block", "1"), 422, shape).await;
    check(&cluster, post("/storage/block", r#""ab""#), 422, shape).await;
    check(&cluster, post("/mempool/add/tx", "{}"), 422, shape).await;
    check(&cluster, post("/mantle/status", "{}"), 422, shape).await;
    check(&cluster, get("/cryptarchia/headers?from=x"), 400, "Failed to deserialize query string: …").await;
    check(&cluster, get("/wallet/x/balance"), 400, "Invalid URL: …").await;
    let zeros = "00".repeat(32);
    check(&cluster, post("/storage/block", &format!("\"{zeros}\"")), 200, "null").await;
    check(&cluster, get(&format!("/cryptarchia/headers?from={zeros}")), 200, "[]").await;
    check(&cluster, post("/mantle/status", &format!("[\"{zeros}\"]")), 200, r#"["Unknown"]"#).await;
    let nobody = "The requested address could not be found in the wallet.";
    check(&cluster, get(&format!("/wallet/{zeros}/balance")), 404, nobody).await;
    check(&cluster, get(&format!("/wallet/{zeros}/balance?tip={zeros}")), 500, "Unknown tip …").await;
    check(&cluster, get("/mantle/metrics"), 200, r#"{"last_item_timestamp":0,"pending_items":0}"#).await;
    let huge = "1".repeat(11 * 1024 * 1024);
    check(&cluster, post("/storage/block", &huge), 413, "…").await;
    let deep = "[".repeat(100_000);
    check(&cluster, post("/mempool/add/tx", &deep), 422, shape).await;

    let host = cluster.nodes[0].config.listen.replace(":3000", "");
    let expected = json!({
        "listen_addresses": [format!("/ip4/{host}/tcp/3000")],
        "n_peers": 0, "n_connections": 0, "n_pending_connections": 0,
    });
    assert_eq!(cluster.network(0).await, expected);
    let chain = cluster.chain(0).await;
    let ids: Vec<_> = chain.iter().rev().map(|(id, _)| id.clone()).collect();
    let all: Vec<String> = {
        let genesis = chain[0].1["header"]["parent_block"].as_str().unwrap();
        let path = format!("/cryptarchia/headers?from={}&to={genesis}", ids[0]);
        let all: Vec<String> = cluster.get(0, &path).await.unwrap().json().await.unwrap();
        assert_eq!(all.last().map(String::as_str), Some(genesis));
        all
    };
    assert_eq!(all[..all.len() - 1], ids);
    for (id, block) in chain {
        let block: Block = serde_json::from_value(block).unwrap();
        assert_eq!(block.id().to_string(), id);
    }
}

async fn transactions_are_judged_at_once() {
    let cluster = one_node().await;
    let transfer = cluster.transfer(0);
    let mut body = serde_json::to_value(&transfer.transaction).unwrap();
    body["mantle_tx"]["ledger_tx"]["outputs"][0]["value"] = json!(7);
    let answer = cluster.post(0, "/mempool/add/tx", &body).await;
    let sum = "inputs and outputs must have the same sum, these have 100 and 7";
    assert_eq!(answer, (422, sum.to_owned()));
    body["mantle_tx"]["ledger_tx"]["outputs"][0]["value"] = json!(100);
    let submitted = cluster.post(0, "/mempool/add/tx", &body).await;
    assert_eq!(submitted, (200, "null".to_owned()));
    let again = cluster.post(0, "/mempool/add/tx", &body).await;
    assert!(again == (500, "Item already in mempool".to_owned()) || again.0 == 422, "{again:?}");
    let status = async || cluster.post(0, "/mantle/status", &json!([transfer.id])).await.1;
    until("it is in a block", 20, async || status().await.contains("InBlock")).await;
    let spent = cluster.post(0, "/mempool/add/tx", &body).await;
    assert!(spent.0 == 422 && spent.1.contains("unknown or already spent"), "{spent:?}");
}

async fn streams_follow_the_chain() {
    let cluster = one_node().await;
    let mut blocks = cluster.get(0, "/cryptarchia/blocks/stream").await.unwrap();
    assert_eq!(blocks.headers()["content-type"], "application/x-ndjson");
    let mut lib = cluster.get(0, "/cryptarchia/lib-stream").await.unwrap();
    let mut last: Option<ApiBlock> = None;
    for _ in 0..3 {
        let line = blocks.chunk().await.unwrap().unwrap();
        let block: ApiBlock = serde_json::from_slice(&line).unwrap();
        assert!(last.is_none_or(|last| last.header.id == block.header.parent_block));
        last = Some(block);
    }
    let mut height = None;
    for _ in 0..3 {
        let line: Value = serde_json::from_slice(&lib.chunk().await.unwrap().unwrap()).unwrap();
        let next = line["height"].as_u64().unwrap();
        assert!(height.is_none_or(|height| height + 1 == next));
        height = Some(next);
        let (id, _) = &cluster.chain(0).await[usize::try_from(next).unwrap() - 1];
        assert_eq!(line["header_id"].as_str(), Some(id.as_str()));
    }
}

/// The same keys with values of the same types, all the way down; lists by their first element.
fn assert_same_shape(place: &str, one: &Value, other: &Value) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(one), keys(other), "{place}");
            for (key, value) in one {
                assert_same_shape(&format!("{place}.{key}"), value, &other[key]);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            if let (Some(one), Some(other)) = (one.first(), other.first()) {
                assert_same_shape(&format!("{place}[0]"), one, other);
            }
        }
        // Ids are 64 hex digits.
        (Value::String(one), Value::String(other)) => assert_eq!(one.len(), other.len(), "{place}"),
        _ => assert_eq!(std::mem::discriminant(one), std::mem::discriminant(other), "{place}"),
    }
}

async fn answers_have_the_shape_of_what_was_captured() {
    let cluster = one_node().await;
    let transfer = cluster.transfer(0);
    let body = serde_json::to_value(&transfer.transaction).unwrap();
    assert_eq!(cluster.post(0, "/mempool/add/tx", &body).await.0, 200);
    let status = async || cluster.post(0, "/mantle/status", &json!([transfer.id])).await.1;
    until("it is in a block", 20, async || status().await.contains("InBlock")).await;
    let chain = cluster.chain(0).await;
    let has_transactions =
        |block: &&(String, Value)| block.1["transactions"].as_array().is_some_and(|all| !all.is_empty());
    let mut block = chain.iter().find(has_transactions).unwrap().1.clone();
    let captured = include_str!("../../testdata/block-with-transfer.json");
    let mut captured: Value = serde_json::from_str(captured).unwrap();
    // The one part that is another: Groth16 there, signatures here.
    let proof = block["transactions"][0]["ledger_tx_proof"].take();
    assert!(proof["signatures"][0].as_array().is_some_and(|bytes| bytes.len() == 64), "{proof}");
    captured["transactions"][0]["ledger_tx_proof"].take();
    assert_same_shape("block", &captured, &block);
    let bytes = |block: &Value, pointer: &str| block.pointer(pointer).unwrap().as_array().unwrap().len();
    for pointer in ["/signature", "/header/proof_of_leadership/proof"] {
        assert_eq!(bytes(&block, pointer), bytes(&captured, pointer));
    }
}

async fn metrics_have_the_documented_names() {
    let cluster = one_node().await;
    let url = format!("http://{}/metrics", cluster.nodes[0].config.testing_http);
    let text = cluster.client.get(url).send().await.unwrap().text().await.unwrap();
    let shown = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(' ').unwrap());
    let (names, values): (Vec<_>, Vec<_>) = shown.unzip();
    let help = spawn(&["--help"], Stdio::null()).wait_with_output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let documented = help.lines().filter_map(|line| line.split_whitespace().next());
    let documented: Vec<_> = documented.filter(|word| word.starts_with("devnode_")).collect();
    assert_eq!(names, documented);
    let value = |name: &str| -> u64 {
        values[names.iter().position(|other| *other == name).unwrap()].parse().unwrap()
    };
    assert!(value("devnode_height") >= 4);
    assert_eq!(value("devnode_blocks_made_total"), value("devnode_height"));
    // A block is told to be final once it is stored.
    assert!((1..=value("devnode_height") - 2).contains(&value("devnode_lib_height")));
    assert_eq!(value("devnode_peers"), 0);
}
