//! The API's codes, types and texts, and a node that hostile input leaves unharmed.

use std::process::Stdio;

use libtest_mimic::Trial;
use logos_scenario_devnode::wire::{ApiBlock, Block};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::cluster::{Cluster, Layout, spawn, until};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("answers_are_as_documented", answers_are_as_documented),
        trial("transactions_are_judged_at_once", transactions_are_judged_at_once),
        trial("streams_follow_the_chain", streams_follow_the_chain),
        trial("answers_have_the_shape_of_what_was_captured", answers_have_the_shape_of_what_was_captured),
        trial("hostile_input_leaves_the_node_unharmed", hostile_input_leaves_the_node_unharmed),
        trial("deaf_readers_hold_nobody_up", deaf_readers_hold_nobody_up),
        trial("metrics_have_the_documented_names", metrics_have_the_documented_names),
    ]
}

async fn one_node() -> Cluster {
    let mut cluster = Cluster::new(1, "200ms", Layout::Star, |_, config| config.security_param = 2);
    cluster.start().await;
    until("it is at height 4", 20, async || cluster.height(0).await >= 4).await;
    cluster
}

type Request<'a> = (&'a str, &'a str, Option<&'a str>, &'a str);

fn get(path: &str) -> Request<'_> {
    ("GET", path, None, "")
}

fn post<'a>(path: &'a str, body: &'a str) -> Request<'a> {
    ("POST", path, Some("application/json"), body)
}

/// Sends a request as it is; the code and the body of the answer, by exact text or by its beginning.
async fn check(cluster: &Cluster, request: Request<'_>, code: u16, text: &str) {
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

    let network: Value = cluster.get(0, "/network/info").await.unwrap().json().await.unwrap();
    let host = cluster.nodes[0].config.listen.replace(":3000", "");
    let expected = json!({
        "listen_addresses": [format!("/ip4/{host}/tcp/3000")],
        "n_peers": 0, "n_connections": 0, "n_pending_connections": 0,
    });
    assert_eq!(network, expected);
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

/// Bytes as they are, on a connection of their own, which is then held open.
async fn throw(cluster: &Cluster, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&cluster.nodes[0].config.http).await.unwrap();
    // The node may close the connection in the middle.
    let _: std::io::Result<()> = stream.write_all(bytes).await;
    stream
}

async fn hostile_input_leaves_the_node_unharmed() {
    let mut cluster = one_node().await;
    let mut held = Vec::new();
    let head = |length: &str| {
        format!(
            "POST /mempool/add/tx HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
        )
    };
    let large = vec![b'x'; 2 * 1024 * 1024];
    let thrown: [Vec<u8>; 9] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        [b"GET /".as_slice(), &large].concat(),
        [b"GET / HTTP/1.1\r\nx: ".as_slice(), &large].concat(),
        head("content-length: -1").into_bytes(),
        head("content-length: 99999999999999999999").into_bytes(),
        head("content-length: 1000000").into_bytes(),
        [head("transfer-encoding: chunked").as_bytes(), b"ffffffffffffffff\r\n"].concat(),
    ];
    for bytes in &thrown {
        held.push(throw(&cluster, bytes).await);
    }
    for _ in 0..200 {
        held.push(throw(&cluster, b"").await);
    }
    let transfer = serde_json::to_string(&cluster.transfer(0).transaction).unwrap();
    let shape = "Failed to deserialize the JSON body into the target type: …";
    let broken = "Failed to parse the request body as JSON: …";
    let transfer_with = |value: &str| transfer.replace("\"value\":100", &format!("\"value\":{value}"));
    for value in ["-1", "1.5", "18446744073709551616", "\"100\"", "null", "{}"] {
        check(&cluster, post("/mempool/add/tx", &transfer_with(value)), 422, shape).await;
    }
    check(&cluster, post("/mempool/add/tx", &transfer_with("1e999")), 400, broken).await;
    let most = transfer_with("18446744073709551615");
    check(&cluster, post("/mempool/add/tx", &most), 422, "inputs and outputs must have the same sum…").await;
    for body in ["", "\"", "{", "\u{0}", "nul"] {
        check(&cluster, post("/mempool/add/tx", body), 400, broken).await;
    }
    for body in ["null", "[]", "[[]]", "{\"a\":1}", "1e308", "\"\\ud83d\\ude00\""] {
        check(&cluster, post("/storage/block", body), 422, shape).await;
    }
    let ids = format!("[{}]", vec![format!("\"{}\"", "00".repeat(32)); 100_000].join(","));
    check(&cluster, post("/mantle/status", &ids), 200, "[\"Unknown\",…").await;
    check(&cluster, get("/cryptarchia/headers?from=00&from=11"), 400, "Failed to deserialize query…").await;
    check(&cluster, get("/wallet/%ff%fe/balance"), 400, "Invalid URL: …").await;

    let height = cluster.height(0).await;
    until("it goes on", 20, async || cluster.height(0).await >= height + 3).await;
    assert!(cluster.ended(0).is_none());
    assert!(!cluster.log_text(0).contains("panicked"));
}

async fn deaf_readers_hold_nobody_up() {
    let cluster = one_node().await;
    let mut deaf = Vec::new();
    for path in ["/cryptarchia/blocks/stream", "/cryptarchia/lib-stream"].repeat(50) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        deaf.push(throw(&cluster, request.as_bytes()).await);
    }
    let mut blocks = cluster.get(0, "/cryptarchia/blocks/stream").await.unwrap();
    for _ in 0..5 {
        assert!(blocks.chunk().await.unwrap().is_some());
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
    assert_eq!(value("devnode_lib_height") + 2, value("devnode_height"));
    assert_eq!(value("devnode_peers"), 0);
}
