//! Nodes make one chain, whatever happens to some of them.

use std::collections::HashSet;

use libtest_mimic::Trial;
use logos_scenario_devnode::config::Delay;
use logos_scenario_devnode::wire::transaction_id;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Layout, agree_at, until};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("five_nodes_agree_and_include_transfers", five_nodes_agree_and_include_transfers),
        trial("a_star_hears_every_block_without_its_hub", a_star_hears_every_block_without_its_hub),
        trial("a_chain_hears_every_block_without_its_middle", a_chain_hears_every_block_without_its_middle),
        trial("a_killed_node_comes_back_to_the_chain", a_killed_node_comes_back_to_the_chain),
        trial("a_paused_node_catches_up", a_paused_node_catches_up),
        trial("delayed_blocks_make_forks_that_heal", delayed_blocks_make_forks_that_heal),
        trial("one_node_alone_makes_a_chain", one_node_alone_makes_a_chain),
    ]
}

fn transactions(chain: &[(String, Value)]) -> HashSet<String> {
    let all = chain.iter().flat_map(|(_, block)| block["transactions"].as_array().unwrap());
    all.map(|transaction| transaction_id(transaction).unwrap().to_string()).collect()
}

async fn five_nodes_agree_and_include_transfers() {
    let mut cluster = Cluster::new(5, "200ms", Layout::Star, |_, _| ());
    cluster.start().await;
    let mut sent = HashSet::new();
    for account in 0..20 {
        let transfer = cluster.transfer(account);
        let node = usize::try_from(account).unwrap() % 5;
        let body = serde_json::to_value(&transfer.transaction).unwrap();
        let answer = cluster.post(node, "/mempool/add/tx", &body).await;
        assert_eq!(answer, (200, "null".to_owned()));
        sent.insert(transfer.id.to_string());
    }
    let chain = agree_at(&cluster, 40, 40).await;
    assert_eq!(transactions(&chain), sent);
    let leaders: HashSet<_> = chain
        .iter()
        .map(|(_, block)| block["header"]["proof_of_leadership"]["leader_key"].to_string())
        .collect();
    assert!(leaders.len() > 2, "only {} leaders", leaders.len());
    let status = cluster.post(3, "/mantle/status", &json!([sent.iter().next()])).await.1;
    assert!(status.starts_with(r#"[{"InBlock":{"block":""#), "{status}");
    for index in 0..5 {
        let balance = cluster.get(index, &format!("/wallet/{}/balance", last_account())).await.unwrap();
        let balance: Value = balance.json().await.unwrap();
        assert_eq!(balance["balance"], 200);
    }
}

/// It had 100 and got 100.
fn last_account() -> String {
    logos_scenario_devnode::wallet::account_key(20).public().to_string()
}

async fn a_star_hears_every_block_without_its_hub() {
    let mut cluster = Cluster::new(5, "200ms", Layout::Star, |_, _| ());
    cluster.start().await;
    until("all are at height 5", 20, async || cluster.height_of_all().await >= 5).await;
    cluster.end(0, Signal::KILL);
    cluster.nodes.remove(0);
    let height = cluster.height(0).await;
    agree_at(&cluster, height + 20, 30).await;
}

async fn a_chain_hears_every_block_without_its_middle() {
    let mut cluster = Cluster::new(5, "200ms", Layout::Chain, |_, _| ());
    cluster.start().await;
    until("all are at height 5", 20, async || cluster.height_of_all().await >= 5).await;
    cluster.end(2, Signal::KILL);
    cluster.nodes.remove(2);
    let height = cluster.height(0).await;
    agree_at(&cluster, height + 20, 30).await;
}

async fn a_killed_node_comes_back_to_the_chain() {
    let mut cluster = Cluster::new(3, "200ms", Layout::Star, |_, _| ());
    cluster.start().await;
    until("all are at height 15", 30, async || cluster.height_of_all().await >= 15).await;
    for index in [2, 0] {
        cluster.end(index, Signal::KILL);
        let height = cluster.height(1).await;
        until("the others go on", 30, async || cluster.height(1).await >= height + 12).await;
        cluster.spawn(index);
        cluster.ready(index).await;
        let height = cluster.height(1).await;
        agree_at(&cluster, height + 12, 30).await;
    }
    for index in 0..3 {
        let log = cluster.log_text(index);
        assert!(!log.contains("refusing a reorganisation"), "node {index} stays apart:\n{log}");
    }
}

async fn a_paused_node_catches_up() {
    let mut cluster = Cluster::new(3, "200ms", Layout::Full, |_, _| ());
    cluster.start().await;
    until("all are at height 5", 20, async || cluster.height_of_all().await >= 5).await;
    cluster.signal(2, Signal::STOP);
    let height = cluster.height(1).await;
    until("the others go on", 30, async || cluster.height(1).await >= height + 20).await;
    cluster.signal(2, Signal::CONT);
    agree_at(&cluster, height + 35, 30).await;
}

async fn delayed_blocks_make_forks_that_heal() {
    let mut cluster = Cluster::new(4, "200ms", Layout::Full, |_, config| {
        config.network.delay = Some(Delay { min: "50ms".to_owned(), max: "400ms".to_owned() });
    });
    cluster.start().await;
    for account in 0..20 {
        let body = serde_json::to_value(cluster.transfer(account).transaction).unwrap();
        let answer = cluster.post(0, "/mempool/add/tx", &body).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
    }
    let chain = agree_at(&cluster, 40, 60).await;
    assert_eq!(transactions(&chain).len(), 20);
    let logs: String = (0..4).map(|index| cluster.log_text(index)).collect();
    assert!(logs.contains("reorganised"), "no forks");
}

async fn one_node_alone_makes_a_chain() {
    let mut cluster = Cluster::new(1, "200ms", Layout::Star, |_, config| config.security_param = 3);
    cluster.start().await;
    until("it is at height 6", 20, async || cluster.height(0).await >= 6).await;
    let info = cluster.info(0).await.unwrap();
    let height = usize::try_from(info["height"].as_u64().unwrap()).unwrap();
    let chain = cluster.chain(0).await;
    assert_eq!(info["lib"], chain[height - 3 - 1].0);
    assert_eq!(info["mode"], "Online");
}
