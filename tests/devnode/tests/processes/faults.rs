//! Every fault shows what it says, and says so in the log.

use libtest_mimic::Trial;
use serde_json::json;

use crate::cluster::{Cluster, Layout, until};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("fault_stop_producing_at", stop_producing_at),
        trial("fault_accept_and_drop", accept_and_drop),
        trial("fault_panic_at", panic_at),
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
    let empty = |block: &serde_json::Value| block["transactions"].as_array().unwrap().is_empty();
    assert!(cluster.chain(0).await.iter().all(|(_, block)| empty(block)));
    assert!(cluster.log_text(0).contains("fault accept_and_drop: dropped a transaction"));
}

async fn panic_at() {
    let mut cluster = Cluster::new(2, "200ms", Layout::Full, |index, config| {
        config.faults.panic_at = (index == 1).then_some(3);
    });
    cluster.start().await;
    until("node 0 goes on", 20, async || cluster.height(0).await >= 6).await;
    let status = cluster.ended(1).expect("node 1 has ended");
    assert_eq!(status.code(), Some(101));
    let log = cluster.log_text(1);
    assert!(log.contains("panicked at"), "{log}");
    assert!(log.contains("fault panic_at: the chain has reached height 3"), "{log}");
}
