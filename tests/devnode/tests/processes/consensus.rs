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
        trial("a_star_whose_hub_is_dead_takes_a_leaf_back", a_star_whose_hub_is_dead_takes_a_leaf_back),
        trial("leaves_know_one_another_when_all_start_again", leaves_know_one_another_when_all_start_again),
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
    hear_every_block_without(0, Layout::Star).await;
}

/// A star of so many leaves that know one another, without its hub. None of them lacks peers.
async fn leaves(count: usize) -> Cluster {
    let mut cluster = Cluster::new(count + 1, "200ms", Layout::Star, |_, _| ());
    cluster.start().await;
    for index in 1..=count {
        has_three_peers(&cluster, index).await;
    }
    cluster.end(0, Signal::KILL);
    cluster.nodes.remove(0);
    for index in 0..count {
        has_three_peers(&cluster, index).await;
    }
    cluster
}

/// So many every node dials, whoever has the lesser id.
async fn has_three_peers(cluster: &Cluster, index: usize) {
    let peers = async || cluster.network(index).await["n_peers"].as_u64().unwrap();
    until("a leaf has three peers", 30, async || peers().await >= 3).await;
}

/// Nobody lacks peers, and the leaf has the least id: it is for the leaf to dial. It has forgotten whom.
async fn a_star_whose_hub_is_dead_takes_a_leaf_back() {
    let mut cluster = leaves(7).await;
    let key = |index: &usize| cluster.nodes[*index].config.settings().unwrap().node_key.public().0;
    let leaf = (0..7).min_by_key(key).unwrap();
    cluster.end(leaf, Signal::KILL);
    cluster.forget(leaf);
    cluster.spawn(leaf);
    cluster.ready(leaf).await;
    let height = cluster.height((leaf + 1) % 7).await;
    agree_at(&cluster, height + 12, 10).await;
}

/// All that they have of one another is what they stored.
async fn leaves_know_one_another_when_all_start_again() {
    let mut cluster = leaves(4).await;
    (0..4).for_each(|leaf| cluster.end(leaf, Signal::KILL));
    cluster.start().await;
    let height = cluster.height_of_all().await;
    agree_at(&cluster, height + 12, 10).await;
}

async fn a_chain_hears_every_block_without_its_middle() {
    hear_every_block_without(2, Layout::Chain).await;
}

/// The others are told of blocks, and need not ask for them, once they have found one another.
async fn hear_every_block_without(middle: usize, layout: Layout) {
    let mut cluster = Cluster::new(5, "200ms", layout, |_, _| ());
    cluster.start().await;
    until("all are at height 5", 20, async || cluster.height_of_all().await >= 5).await;
    cluster.end(middle, Signal::KILL);
    cluster.nodes.remove(middle);
    let height = cluster.height(0).await;
    agree_at(&cluster, height + 10, 10).await;
    let counts = async || {
        let names = ["devnode_blocks_applied_total", "devnode_blocks_fetched_total"];
        let of_all = names.map(async |name| {
            let of_one = (0..4).map(|index| cluster.metric(index, name));
            futures::future::join_all(of_one).await.into_iter().sum::<u64>()
        });
        let [applied, fetched] = futures::future::join_all(of_all).await[..] else {
            unreachable!("two names")
        };
        (applied, fetched)
    };
    let (applied, fetched) = counts().await;
    let height = cluster.height(0).await;
    agree_at(&cluster, height + 20, 10).await;
    let now = counts().await;
    let (applied, fetched) = (now.0 - applied, now.1 - fetched);
    // Now and then a node asks for what is on its way to it.
    assert!(fetched * 4 <= applied, "{fetched} of {applied} blocks had to be asked for");
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
        // One to three slots.
        config.network.delay = Some(Delay { min: "200ms".to_owned(), max: "600ms".to_owned() });
        config.security_param = 30;
    });
    cluster.start().await;
    for account in 0..20 {
        let body = serde_json::to_value(cluster.transfer(account).transaction).unwrap();
        let answer = cluster.post(0, "/mempool/add/tx", &body).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
    }
    for depth in 1..=3 {
        let left = format!("reorganised depth={depth} ");
        let is_seen = async || (0..4).any(|index| cluster.log_text(index).contains(&left));
        until(&format!("a fork is {depth} blocks deep"), 60, is_seen).await;
    }
    let height = cluster.height_of_all().await;
    let chain = agree_at(&cluster, height + 40, 60).await;
    assert_eq!(transactions(&chain).len(), 20);
}

async fn one_node_alone_makes_a_chain() {
    let mut cluster = Cluster::new(1, "200ms", Layout::Star, |_, config| config.security_param = 3);
    cluster.start().await;
    until("it is at height 6", 20, async || cluster.height(0).await >= 6).await;
    // It tells of a final block once that is stored, which may be a little later.
    let three_deep = async || {
        let info = cluster.info(0).await.unwrap();
        let height = usize::try_from(info["height"].as_u64().unwrap()).unwrap();
        info["mode"] == "Online" && info["lib"] == cluster.chain(0).await[height - 3 - 1].0
    };
    until("the LIB is three blocks below the tip", 20, three_deep).await;
}
