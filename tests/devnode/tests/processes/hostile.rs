//! Clients and peers that mean no good leave a node unharmed.

use futures::future::join_all;
use libtest_mimic::Trial;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::cluster::{Cluster, Layout, agree_at, until};
use crate::http::{check, get, one_node, post};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("hostile_input_leaves_the_node_unharmed", hostile_input_leaves_the_node_unharmed),
        trial("deaf_readers_hold_nobody_up", deaf_readers_hold_nobody_up),
        trial("strangers_at_the_port_of_peers_do_no_harm", strangers_at_the_port_of_peers_do_no_harm),
    ]
}

/// Bytes as they are, on a connection of their own, which is then held open.
async fn throw(to: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // The node may close the connection in the middle.
    let _: std::io::Result<()> = stream.write_all(bytes).await;
    stream
}

async fn hostile_input_leaves_the_node_unharmed() {
    let cluster = one_node().await;
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
        held.push(throw(&cluster.nodes[0].config.http, bytes).await);
    }
    for _ in 0..200 {
        held.push(throw(&cluster.nodes[0].config.http, b"").await);
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
    assert!(!cluster.has_ended(0));
    assert!(!cluster.log_text(0).contains("panicked"));
}

async fn deaf_readers_hold_nobody_up() {
    let cluster = one_node().await;
    let mut blocks = cluster.get(0, "/cryptarchia/blocks/stream").await.unwrap();
    let mut deaf = Vec::new();
    // More than there may be connections.
    for path in ["/cryptarchia/blocks/stream", "/cryptarchia/lib-stream"].repeat(300) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        deaf.push(throw(&cluster.nodes[0].config.http, request.as_bytes()).await);
    }
    let height = cluster.height(0).await;
    assert!(height > 0, "ordinary requests are not answered");
    let refused = cluster.get(0, "/cryptarchia/lib-stream").await.unwrap();
    assert_eq!(refused.status().as_u16(), 503);
    assert_eq!(refused.text().await.unwrap(), "at most 256 streams are open at once; close one");
    until("the chain grows", 20, async || cluster.height(0).await >= height + 5).await;
    for _ in 0..5 {
        assert!(blocks.chunk().await.unwrap().is_some());
    }
}

async fn strangers_at_the_port_of_peers_do_no_harm() {
    let mut cluster = Cluster::new(2, "200ms", Layout::Full, |_, _| ());
    cluster.spawn(0);
    cluster.ready(0).await;
    let select = b"\x13/multistream/1.0.0\n".to_vec();
    let noise = [&select[..], b"\x07/noise\n"].concat();
    let thrown = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 1024 * 1024],
        vec![0xff; 1024 * 1024],
        // Half of what it takes, and then nothing.
        select[..7].to_vec(),
        // The longest message of noise, which is never finished, and one that is no key.
        [&noise[..], b"\xff\xff"].concat(),
        [&noise[..], b"\x00\x20", &[7; 32]].concat(),
    ];
    let at = cluster.nodes[0].config.listen.clone();
    let _held = join_all(thrown.iter().cycle().take(200).map(|bytes| throw(&at, bytes))).await;
    cluster.spawn(1);
    cluster.ready(1).await;
    agree_at(&cluster, 15, 30).await;
    assert!(!cluster.has_ended(0) && !cluster.log_text(0).contains("panicked"));
}
