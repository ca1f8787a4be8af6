//! Every fault shows what it says, and says so in the log.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use logos_scenario_devnode::config::{ExitAt, Faults, HttpFault};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Layout, agree_at, until};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("fault_stop_producing_at", stop_producing_at),
        trial("fault_accept_and_drop", accept_and_drop),
        trial("fault_panic_at", panic_at),
        trial("fault_exit_at", exit_at),
        trial("fault_refuse_to_start", refuse_to_start),
        trial("fault_half_rate", half_rate),
        trial("fault_equivocate", equivocate),
        trial("fault_fork_away_at", fork_away_at),
        trial("fault_http_delay", http_delay),
        trial("fault_http_garbage", http_garbage),
        trial("fault_http_silent", http_silent),
        trial("fault_http_closed", http_closed),
    ]
}

async fn stop_producing_at() {
    let mut cluster = Cluster::new(2, "200ms", Layout::Full, |_, config| {
        config.faults.stop_producing_at = Some(4);
    });
    cluster.start().await;
    let said = |cluster: &Cluster| {
        (0..2).all(|index| cluster.log_text(index).contains("fault stop_producing_at: the chain has reached"))
    };
    until("both say so", 20, async || said(&cluster)).await;
    let height = cluster.height(0).await;
    let slot = cluster.info(0).await.unwrap()["slot"].clone();
    assert!((4..=5).contains(&height), "{height}");
    until("five slots went by", 5, async || {
        let start = humantime::parse_rfc3339(&cluster.nodes[0].config.start_time).unwrap();
        start.elapsed().unwrap().as_millis() > 200 * (u128::from(slot.as_u64().unwrap()) + 5)
    })
    .await;
    assert_eq!(cluster.height(0).await, height);
}

async fn accept_and_drop() {
    let mut cluster =
        Cluster::new(1, "200ms", Layout::Full, |_, config| config.faults.accept_and_drop = true);
    cluster.start().await;
    let mut transfer = cluster.transfer(0);
    for _ in 0..2 {
        let body = serde_json::to_value(&transfer.transaction).unwrap();
        assert_eq!(cluster.post(0, "/mempool/add/tx", &body).await, (200, "null".to_owned()));
        transfer.transaction.mantle_tx.ledger_tx.outputs[0].value = 7;
    }
    let status = cluster.post(0, "/mantle/status", &json!([transfer.id])).await;
    assert_eq!(status, (200, r#"["Unknown"]"#.to_owned()));
    until("it is at height 3", 20, async || cluster.height(0).await >= 3).await;
    let empty = |block: &Value| block["transactions"].as_array().unwrap().is_empty();
    assert!(cluster.chain(0).await.iter().all(|(_, block)| empty(block)));
    assert!(cluster.log_text(0).contains("fault accept_and_drop: dropped a transaction"));
}

async fn panic_at() {
    let mut cluster = Cluster::new(2, "200ms", Layout::Full, |index, config| {
        config.faults.panic_at = (index == 1).then_some(3);
    });
    cluster.start().await;
    until("node 0 goes on", 20, async || cluster.height(0).await >= 6).await;
    assert_eq!(cluster.end_of(1).code(), Some(101));
    let log = cluster.log_text(1);
    assert!(log.contains("panicked at"), "{log}");
    assert!(log.contains("fault panic_at: the chain has reached height 3"), "{log}");
}

async fn exit_at() {
    let mut cluster = Cluster::new(2, "200ms", Layout::Full, |index, config| {
        config.faults.exit_at = (index == 1).then_some(ExitAt { height: 3, code: 42 });
    });
    cluster.start().await;
    until("node 0 goes on", 20, async || cluster.height(0).await >= 6).await;
    assert_eq!(cluster.end_of(1).code(), Some(42));
    let log = cluster.log_text(1);
    assert!(log.contains("fault exit_at: the chain has reached height 3, exiting with code 42"), "{log}");
}

async fn refuse_to_start() {
    let mut cluster =
        Cluster::new(1, "200ms", Layout::Full, |_, config| config.faults.refuse_to_start = true);
    cluster.spawn(0);
    assert_eq!(cluster.end_of(0).code(), Some(1));
    assert_eq!(cluster.log_text(0), "devnode: fault refuse_to_start: not starting\n");
}

/// Alone on a chain that has a leader in every slot, a node makes a block in every other one.
async fn half_rate() {
    let mut cluster = Cluster::new(1, "100ms", Layout::Full, |_, config| {
        config.active_slot_coeff = 1.0;
        config.faults.half_rate = true;
    });
    cluster.start().await;
    until("it is at height 10", 30, async || cluster.height(0).await >= 10).await;
    let slots: Vec<_> =
        cluster.chain(0).await.iter().map(|(_, block)| block["header"]["slot"].as_u64().unwrap()).collect();
    assert!(slots.windows(2).all(|pair| pair[1] >= pair[0] + 2), "{slots:?}");
    assert!(cluster.log_text(0).contains("fault half_rate: making no block in slot"));
}

async fn equivocate() {
    let mut cluster = Cluster::new(2, "200ms", Layout::Full, |index, config| {
        config.faults.equivocate = index == 0;
    });
    cluster.start().await;
    let leader = cluster.genesis().leaders[0].pk;
    let seen = format!("equivocation: a leader made two blocks in one slot leader={leader}");
    until("node 1 sees it", 20, async || cluster.log_text(1).contains(&seen)).await;
    let height = cluster.height(1).await;
    agree_at(&cluster, height + 12, 30).await;
    let innocent = format!("in one slot leader={}", cluster.genesis().leaders[1].pk);
    assert!(!cluster.log_text(0).contains(&innocent));
}

async fn fork_away_at() {
    let mut cluster = Cluster::new(3, "200ms", Layout::Full, |index, config| {
        // Deep enough that the others agree, whatever else the machine does.
        config.security_param = 8;
        config.faults.fork_away_at = (index == 2).then_some(4);
    });
    cluster.start().await;
    // The others may follow what node 2 makes, as long as it is longer than what they make.
    let common = async || {
        let [one, other] = [cluster.chain(0).await, cluster.chain(2).await];
        let common = one.iter().zip(&other).take_while(|(one, other)| one.0 == other.0).count();
        (common, one.len().min(other.len()))
    };
    let apart = async || {
        let (common, shorter) = common().await;
        shorter > common + 9
    };
    until("the chains are apart for good", 60, apart).await;
    assert!(common().await.0 >= 3, "node 2 went away before height 4");
    let height = cluster.height(0).await;
    let chains = [cluster.chain(0).await, cluster.chain(1).await];
    let final_height = usize::try_from(height).unwrap() - 10;
    assert_eq!(chains[0][final_height].0, chains[1][final_height].0);
    let log = cluster.log_text(2);
    assert!(log.contains("fault fork_away_at: the chain has reached height 4, ignoring what peers"), "{log}");
    let refusing = "refusing a reorganisation below the last irreversible block";
    for honest in [0, 1] {
        until("the others refuse its chain", 30, async || cluster.log_text(honest).contains(refusing)).await;
    }
}

/// A node whose HTTP has this fault. Nobody waits for its answer.
fn one_node(change: impl Fn(&mut Faults)) -> Cluster {
    let mut cluster = Cluster::new(1, "200ms", Layout::Full, |_, config| change(&mut config.faults));
    cluster.spawn(0);
    cluster
}

async fn until_logged(cluster: &Cluster, text: &str) {
    until(text, 20, async || cluster.log_text(0).contains(text)).await;
}

async fn http_delay() {
    let cluster = one_node(|faults| faults.http_delay = Some("700ms".to_owned()));
    cluster.ready(0).await;
    let since = Instant::now();
    cluster.info(0).await.expect("it answers");
    assert!(since.elapsed() >= Duration::from_millis(700), "{:?}", since.elapsed());
    until_logged(&cluster, "fault http_delay: every answer comes 700ms later").await;
}

async fn http_garbage() {
    let cluster = one_node(|faults| faults.http = Some(HttpFault::Garbage));
    until("it answers", 20, async || cluster.get(0, "/cryptarchia/info").await.is_some()).await;
    let answer = cluster.get(0, "/network/info").await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"] == "application/json"),
        (200, true)
    );
    let body = answer.bytes().await.unwrap();
    assert!(serde_json::from_slice::<Value>(&body).is_err() && std::str::from_utf8(&body).is_err());
    until_logged(&cluster, "fault http: every answer is garbage").await;
    until_logged(&cluster, "made a block").await;
}

async fn http_silent() {
    let cluster = one_node(|faults| faults.http = Some(HttpFault::Silent));
    until_logged(&cluster, "fault http: no request is answered").await;
    until_logged(&cluster, "made a block").await;
    let ask = cluster.client.get(cluster.url(0, "/cryptarchia/info")).timeout(Duration::from_secs(1));
    let error = ask.send().await.unwrap_err();
    assert!(error.is_timeout() && !error.is_connect(), "{error:?}");
}

async fn http_closed() {
    let cluster = one_node(|faults| faults.http = Some(HttpFault::Closed));
    until_logged(&cluster, "fault http: no HTTP is opened").await;
    until_logged(&cluster, "made a block").await;
    let error = cluster.client.get(cluster.url(0, "/cryptarchia/info")).send().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert!(!cluster.has_ended(0));
}
