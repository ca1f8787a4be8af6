//! What a node has on disk: final blocks survive `kill -9`, and nothing else of its past is needed.

use std::fs;

use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, Layout, agree_at, until};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("all_nodes_at_once_come_back_to_their_chain", all_nodes_at_once_come_back_to_their_chain),
        trial("a_node_alone_continues_its_chain", a_node_alone_continues_its_chain),
        trial("an_empty_node_syncs_from_its_peers", an_empty_node_syncs_from_its_peers),
        trial("a_strange_storage_is_one_line", a_strange_storage_is_one_line),
    ]
}

/// Where the block of a height is in a chain without genesis.
fn at(height: u64) -> usize {
    usize::try_from(height).unwrap() - 1
}

async fn all_nodes_at_once_come_back_to_their_chain() {
    let mut cluster = Cluster::new(3, "200ms", Layout::Star, |_, config| config.security_param = 4);
    cluster.start().await;
    until("all are at height 12", 30, async || cluster.height_of_all().await >= 12).await;
    let (height, id) = cluster.lib(1).await.unwrap();
    for index in 0..3 {
        cluster.end(index, Signal::KILL);
    }
    cluster.start().await;
    for index in 0..3 {
        let chain = cluster.chain(index).await;
        assert_eq!(chain.get(at(height)).map(|(id, _)| id), Some(&id), "node {index}");
    }
    agree_at(&cluster, 24, 30).await;
}

async fn a_node_alone_continues_its_chain() {
    let mut cluster = Cluster::new(1, "200ms", Layout::Star, |_, config| config.security_param = 3);
    cluster.start().await;
    until("it is at height 6", 30, async || cluster.height(0).await >= 6).await;
    let stream = async |cluster: &Cluster| {
        let mut lib = cluster.get(0, "/cryptarchia/lib-stream").await.unwrap();
        serde_json::from_slice::<Value>(&lib.chunk().await.unwrap().unwrap()).unwrap()
    };
    let told = stream(&cluster).await;
    cluster.end(0, Signal::KILL);
    cluster.spawn(0);
    cluster.ready(0).await;
    // The first answer already knows all.
    let chain = cluster.chain(0).await;
    assert_eq!(told["header_id"].as_str(), Some(chain[at(told["height"].as_u64().unwrap())].0.as_str()));
    let next = stream(&cluster).await;
    assert!(next["height"].as_u64() > told["height"].as_u64());
}

async fn an_empty_node_syncs_from_its_peers() {
    let mut cluster = Cluster::new(3, "200ms", Layout::Star, |_, _| ());
    cluster.start().await;
    until("all are at height 15", 30, async || cluster.height_of_all().await >= 15).await;
    for index in [2, 0] {
        cluster.end(index, Signal::KILL);
        cluster.forget(index);
        cluster.spawn(index);
        cluster.ready(index).await;
        let height = cluster.height(1).await;
        agree_at(&cluster, height + 12, 30).await;
    }
}

async fn a_strange_storage_is_one_line() {
    let mut cluster = Cluster::new(1, "200ms", Layout::Star, |_, _| ());
    cluster.start().await;
    cluster.end(0, Signal::TERM);
    let storage = cluster.nodes[0].config.storage.clone().unwrap();
    let refused = |cluster: &mut Cluster, expected: &str| {
        let before = cluster.log_text(0).len();
        cluster.spawn(0);
        assert_eq!(cluster.end_of(0).code(), Some(1));
        let log = cluster.log_text(0).split_off(before);
        let lines: Vec<_> = log.lines().collect();
        assert!(lines.len() == 1 && lines[0].starts_with("devnode: storage: "), "{log}");
        assert!(log.contains(&storage) && log.contains(expected), "{log}");
    };
    cluster.nodes[0].config.security_param += 1;
    cluster.write_config(0);
    refused(&mut cluster, "holds the chain of genesis");
    cluster.nodes[0].config.security_param -= 1;
    cluster.write_config(0);
    fs::write(format!("{storage}/blocks.redb"), "no database").unwrap();
    refused(&mut cluster, "blocks.redb: ");
    fs::remove_dir_all(&storage).unwrap();
    fs::write(&storage, "no directory").unwrap();
    refused(&mut cluster, "Not a directory");
}
