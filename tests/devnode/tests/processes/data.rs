//! Blobs: dispersed over the members, included once they are available, and restored from what is left.

use libtest_mimic::Trial;
use logos_scenario_devnode::config::{Config, Faults, Role};
use logos_scenario_devnode::data::{Dispersal, Share, publisher, restore, signed};
use logos_scenario_devnode::wire::{BlobId, ChannelId, Inscription, MessageId, Op, SignedTransaction};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Layout, agree_at, until};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "data_blobs_are_restored_from_any_two_of_five_members",
            blobs_are_restored_from_any_two_of_five_members,
        ),
        trial("data_blobs_travel_through_a_hub", blobs_travel_through_a_hub),
        trial("data_blobs_travel_along_a_chain", blobs_travel_along_a_chain),
        trial("data_one_node_keeps_blobs_for_itself", one_node_keeps_blobs_for_itself),
        trial("data_paths_answer_as_documented", data_paths_answer_as_documented),
        trial(
            "data_a_latecomer_follows_blocks_whose_data_is_gone",
            a_latecomer_follows_blocks_whose_data_is_gone,
        ),
        trial("data_a_member_that_was_down_gets_its_share", a_member_that_was_down_gets_its_share),
        trial("data_shares_go_when_their_time_is_over", shares_go_when_their_time_is_over),
        trial("data_one_of_two_members_may_be_down", one_of_two_members_may_be_down),
        trial("data_a_dispersal_is_given_up", a_dispersal_is_given_up),
        trial("data_blocked_peers_are_not_asked", blocked_peers_are_not_asked),
        trial("data_fault_withhold_shares", fault_withhold_shares),
        trial("data_fault_corrupt_shares", fault_corrupt_shares),
        trial("data_fault_lose_blobs", fault_lose_blobs),
        trial("data_fault_refuse_sampling", fault_refuse_sampling),
        trial("data_fault_drop_dispersals", fault_drop_dispersals),
    ]
}

const CHANNEL: ChannelId = ChannelId([7; 32]);

/// Nodes of which the last two are executors.
struct Blobs {
    cluster: Cluster,
    /// The channel's last message.
    tip: MessageId,
}

impl Blobs {
    async fn new(count: usize, layout: Layout, change: impl Fn(usize, &mut Config)) -> Self {
        let mut cluster = Cluster::new(count, "300ms", layout, |index, config| {
            if index + 2 >= count {
                (config.role, config.name) = (Role::Executor, format!("executor-{}", index + 2 - count));
            }
            change(index, config);
        });
        cluster.start().await;
        let op = Op::Inscribe(Inscription {
            channel_id: CHANNEL,
            inscription: b"hello".to_vec(),
            parent: MessageId::default(),
            signer: publisher().public(),
        });
        let tip = op.message_id();
        let body = serde_json::to_value(signed(op)).unwrap();
        until("the channel is open", 30, async || {
            cluster.post(0, "/mempool/add/tx", &body).await;
            messages(&cluster, 0).await.contains(&tip)
        })
        .await;
        Self { cluster, tip }
    }

    async fn with_faults(faults: impl Fn(usize, &mut Faults)) -> Self {
        Self::new(5, Layout::Star, |index, config| faults(index, &mut config.faults)).await
    }

    fn dispersal(&self, data: Vec<u8>) -> Dispersal {
        Dispersal { channel_id: CHANNEL, parent_msg_id: self.tip, signer: publisher().public(), data }
    }

    /// Has an executor publish data; returns the blob and its message.
    async fn disperse(&self, executor: usize, data: Vec<u8>) -> (BlobId, MessageId) {
        let dispersal = self.dispersal(data);
        let body = serde_json::to_value(&dispersal).unwrap();
        let (code, answer) = self.cluster.post(executor, "/disperse-data", &body).await;
        assert_eq!(code, 200, "{answer}");
        let blob = serde_json::from_str(&answer).unwrap();
        (blob, dispersal.publication(blob).mantle_tx.ops[0].message_id())
    }

    async fn is_included(&self, node: usize, message: MessageId) -> bool {
        messages(&self.cluster, node).await.contains(&message)
    }

    /// Publishes data and waits until all of these nodes have it in their chain.
    async fn publish(&mut self, executor: usize, data: Vec<u8>, nodes: &[usize]) -> BlobId {
        let (blob, message) = self.disperse(executor, data).await;
        for node in nodes {
            until("the blob is in a block", 30, async || self.is_included(*node, message).await).await;
        }
        self.tip = message;
        blob
    }

    async fn read(&self, node: usize, path: &str, body: &Value) -> (u16, String) {
        let request = self.cluster.client.get(self.cluster.url(node, path)).json(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The shares that a node has or gets, or what it says instead.
    async fn shares(&self, node: usize, blob: BlobId) -> Result<Vec<Share>, String> {
        let wanted = json!({
            "blob_id": blob, "requested_shares": [], "filter_shares": [], "return_available": true
        });
        match self.read(node, "/da/sampling/shares", &wanted).await {
            (200, lines) => Ok(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()),
            (code, text) => Err(format!("{code} {text}")),
        }
    }

    async fn restored(&self, node: usize, blob: BlobId) -> Result<Vec<u8>, String> {
        restore(blob, self.shares(node, blob).await?)
    }

    /// The node's own share, if it gives one.
    async fn own(&self, node: usize, blob: BlobId) -> Option<Share> {
        let wanted = json!({ "blob_id": blob, "share_idx": [node, 0] });
        let (code, text) = self.read(node, "/da/get-share", &wanted).await;
        assert_eq!(code, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    fn says(&self, node: usize, text: &str) -> bool {
        self.cluster.log_text(node).contains(text)
    }
}

/// All messages of a node's chain.
async fn messages(cluster: &Cluster, node: usize) -> Vec<MessageId> {
    let mut messages = Vec::new();
    for (_, block) in cluster.chain(node).await {
        let transactions: Vec<SignedTransaction> =
            serde_json::from_value(block["transactions"].clone()).unwrap();
        messages.extend(transactions.iter().flat_map(|one| &one.mantle_tx.ops).map(Op::message_id));
    }
    messages
}

/// Data of so many chunks, another one for each number.
fn data(number: u8, chunks: usize) -> Vec<u8> {
    (0..chunks * 31).map(|at| number ^ u8::try_from(at % 251).unwrap()).collect()
}

const ALL: [usize; 5] = [0, 1, 2, 3, 4];

async fn blobs_are_restored_from_any_two_of_five_members() {
    let mut blobs = Blobs::new(5, Layout::Star, |_, _| ()).await;
    let (first, large) = (data(1, 1), data(2, 1 << 11));
    let one = blobs.publish(3, first.clone(), &ALL).await;
    let other = blobs.publish(4, large.clone(), &ALL).await;
    for node in ALL {
        assert_eq!(blobs.restored(node, one).await, Ok(first.clone()));
        assert_eq!(blobs.restored(node, other).await, Ok(large.clone()));
        let own = blobs.own(node, other).await.expect("every member was up");
        assert_eq!((usize::from(own.index()), own.check(other).map(|it| it.size)), (node, Ok(31 << 11)));
    }
    for node in [0, 3, 4] {
        blobs.cluster.end(node, Signal::KILL);
    }
    until("the rest restores it", 30, async || blobs.restored(1, other).await == Ok(large.clone())).await;
    blobs.cluster.end(2, Signal::KILL);
    until("one is too few", 30, async || {
        blobs.restored(1, other).await == Err("1 good shares and 0 bad ones, it takes 2".to_owned())
    })
    .await;
    blobs.cluster.spawn(4);
    blobs.cluster.ready(4).await;
    until("shares survive", 30, async || blobs.restored(4, one).await == Ok(first.clone())).await;
}

async fn blobs_travel_through_a_hub() {
    travel(Layout::Star).await;
}

async fn blobs_travel_along_a_chain() {
    travel(Layout::Chain).await;
}

/// Nobody learns of others than those it was told of, and still every member gets its share.
async fn travel(layout: Layout) {
    let mut blobs = Blobs::new(5, layout, |_, config| config.discovery = false).await;
    let sent = data(1, 64);
    let blob = blobs.publish(4, sent.clone(), &ALL).await;
    for node in ALL {
        assert!(blobs.own(node, blob).await.is_some(), "node {node}");
        assert_eq!(blobs.restored(node, blob).await, Ok(sent.clone()));
    }
}

async fn one_node_keeps_blobs_for_itself() {
    let mut blobs = Blobs::new(1, Layout::Star, |_, config| config.storage = None).await;
    let blob = blobs.publish(0, data(1, 4), &[0]).await;
    assert_eq!(blobs.restored(0, blob).await, Ok(data(1, 4)));
}

async fn data_paths_answer_as_documented() {
    let mut blobs = Blobs::new(3, Layout::Star, |_, _| ()).await;
    let body = serde_json::to_value(blobs.dispersal(data(1, 2))).unwrap();
    assert_eq!(blobs.cluster.post(0, "/disperse-data", &body).await.0, 404);
    let refused = async |field: &str, value: Value, text: &str| {
        let mut body = body.clone();
        body[field] = value;
        let (code, answer) = blobs.cluster.post(1, "/disperse-data", &body).await;
        assert!(code == 500 && answer.starts_with("Failed to disperse data: "), "{code} {answer}");
        assert!(answer.contains(text), "{answer}");
    };
    refused("data", json!([1, 2, 3]), "these are 3 bytes").await;
    refused("signer", json!("00".repeat(32)), "in the name of 3b6a27bc").await;
    refused("parent_msg_id", json!("05".repeat(32)), "the parent must be the channel's tip").await;
    assert_eq!(blobs.cluster.post(1, "/disperse-data", &json!({})).await.0, 422);

    let unknown = BlobId([9; 32]);
    assert_eq!(blobs.shares(0, unknown).await, Err("500 Blob index not found".to_owned()));
    assert_eq!(blobs.own(0, unknown).await, None);
    let wanted = json!({ "blob_id": unknown, "session": 0 });
    let answer = blobs.cluster.post(0, "/da/get-commitments", &wanted).await;
    assert_eq!(answer, (500, "Failed to get range".to_owned()));
    let stored =
        async |blob: BlobId| blobs.read(0, "/da/get-storage-commitments", &json!({ "blob_id": blob })).await;
    assert_eq!(stored(unknown).await, (200, "null".to_owned()));

    let (blob, message) = blobs.disperse(1, data(1, 2)).await;
    // Once more, by either executor, before and after it is in a block.
    assert_eq!(blobs.disperse(1, data(1, 2)).await, (blob, message));
    assert_eq!(blobs.disperse(2, data(1, 2)).await, (blob, message));
    until("the blob is in a block", 30, async || blobs.is_included(2, message).await).await;
    assert_eq!(blobs.disperse(2, data(1, 2)).await, (blob, message));
    let count = messages(&blobs.cluster, 2).await.iter().filter(|other| **other == message).count();
    assert_eq!(count, 1);

    let commitments: Value = serde_json::from_str(&stored(blob).await.1).unwrap();
    let row = commitments["rows_commitments"][0].as_array().unwrap();
    assert_eq!((row.len(), &commitments["blob_size"]), (32, &62.into()));
    let wanted = json!({ "blob_id": blob, "session": 0 });
    let asked = blobs.cluster.post(0, "/da/get-commitments", &wanted).await;
    assert_eq!((asked.0, serde_json::from_str(&asked.1).unwrap()), (200, commitments));
    let wanted = json!({
        "blob_id": blob, "requested_shares": [[2, 0]], "filter_shares": [[0, 0]], "return_available": false
    });
    let (_, lines) = blobs.read(0, "/da/sampling/shares", &wanted).await;
    let share: Share = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!((share.index(), share.check(blob).is_ok()), (2, true));
    blobs.tip = message;
    show_members(&blobs).await;
}

async fn show_members(blobs: &Blobs) {
    let url = format!("http://{}/test/da/membership", blobs.cluster.nodes[1].config.testing_http);
    let membership = async |session: u64| -> Value {
        blobs.cluster.client.post(&url).json(&session).send().await.unwrap().json().await.unwrap()
    };
    let first = membership(0).await;
    let assigned = first["assignations"].as_object().unwrap();
    assert!(assigned.len() == 3 && assigned.values().all(|peers| peers.as_array().unwrap().len() == 1));
    let addresses = first["addressbook"].as_object().unwrap();
    assert!(addresses.values().all(|at| at.as_str().unwrap().ends_with("/tcp/3000")), "{addresses:?}");
    assert_eq!(membership(1).await, json!({ "assignations": {}, "addressbook": {} }));
    let read = async |path| -> Value { blobs.cluster.get(1, path).await.unwrap().json().await.unwrap() };
    until("node 1 is connected to both others", 30, async || {
        let stats = read("/da/balancer-stats").await;
        let count =
            |subnet: &Value| subnet["inbound"].as_u64().unwrap() + subnet["outbound"].as_u64().unwrap();
        stats.as_object().unwrap().values().map(count).collect::<Vec<_>>() == [1, 0, 1]
    })
    .await;
    assert_eq!(read("/da/monitor-stats").await, json!({}));
}

async fn blocked_peers_are_not_asked() {
    let mut blobs = Blobs::new(4, Layout::Star, |_, config| config.discovery = false).await;
    let blob = blobs.publish(3, data(1, 2), &[0, 1, 2, 3]).await;
    let hub = {
        let url = format!("http://{}/test/da/membership", blobs.cluster.nodes[1].config.testing_http);
        let membership = blobs.cluster.client.post(url).json(&0).send().await.unwrap();
        membership.json::<Value>().await.unwrap()["assignations"]["0"][0].clone()
    };
    let post = async |path: &str| blobs.cluster.post(1, path, &hub).await.1;
    assert_eq!((post("/da/block-peer").await, post("/da/block-peer").await), ("true".into(), "false".into()));
    let blocked = blobs.cluster.get(1, "/da/blacklisted-peers").await.unwrap();
    assert_eq!(blocked.json::<Value>().await.unwrap(), json!([hub]));
    // All its links lead to the hub.
    assert_eq!(blobs.shares(1, blob).await.unwrap().len(), 1);
    assert_eq!(
        (post("/da/unblock-peer").await, post("/da/unblock-peer").await),
        ("true".into(), "false".into())
    );
    assert_eq!(blobs.restored(1, blob).await, Ok(data(1, 2)));
    assert_eq!(blobs.cluster.post(1, "/da/block-peer", &json!("nobody")).await.0, 422);
}

async fn a_latecomer_follows_blocks_whose_data_is_gone() {
    let mut blobs = Blobs::with_faults(|_, faults| faults.lose_blobs = true).await;
    for number in 0..2 {
        blobs.publish(3, data(number, 1), &ALL).await;
    }
    blobs.cluster.end(1, Signal::KILL);
    blobs.cluster.forget(1);
    blobs.cluster.spawn(1);
    blobs.cluster.ready(1).await;
    let height = blobs.cluster.height(0).await;
    agree_at(&blobs.cluster, height + 12, 40).await;
    assert!(blobs.is_included(1, blobs.tip).await);
}

/// The executor has forgotten by then what it dispersed.
async fn a_member_that_was_down_gets_its_share() {
    let mut blobs = Blobs::new(5, Layout::Star, |_, _| ()).await;
    blobs.cluster.end(1, Signal::KILL);
    let blob = blobs.publish(3, data(1, 8), &[0, 2, 3, 4]).await;
    blobs.cluster.end(3, Signal::KILL);
    for node in [1, 3] {
        blobs.cluster.spawn(node);
        blobs.cluster.ready(node).await;
    }
    until("the member has its share", 30, async || blobs.own(1, blob).await.is_some()).await;
    assert!(blobs.own(1, blob).await.unwrap().check(blob).is_ok());
    assert!(blobs.says(1, "restored a share that was missed"));
}

async fn shares_go_when_their_time_is_over() {
    let mut blobs = Blobs::new(3, Layout::Star, |_, config| {
        config.security_param = 2;
        config.data.retention = Some(4);
    })
    .await;
    let first = blobs.publish(1, data(1, 2), &[0, 1, 2]).await;
    assert_eq!(blobs.restored(0, first).await, Ok(data(1, 2)));
    let gone = async |node| blobs.own(node, first).await.is_none();
    until("all forget it", 30, async || gone(0).await && gone(1).await && gone(2).await).await;
    let second = blobs.publish(1, data(2, 2), &[0, 1, 2]).await;
    assert_eq!(blobs.restored(0, second).await, Ok(data(2, 2)));
}

async fn one_of_two_members_may_be_down() {
    let mut blobs = Blobs::new(2, Layout::Star, |_, _| ()).await;
    blobs.cluster.end(0, Signal::KILL);
    let blob = blobs.publish(1, data(1, 2), &[1]).await;
    blobs.cluster.spawn(0);
    blobs.cluster.ready(0).await;
    until("the other gets its share", 30, async || blobs.own(0, blob).await.is_some()).await;
}

async fn a_dispersal_is_given_up() {
    let mut blobs =
        Blobs::new(4, Layout::Star, |_, config| config.data.give_up = Some("1s".to_owned())).await;
    for node in [0, 1, 2] {
        blobs.cluster.end(node, Signal::KILL);
    }
    let body = serde_json::to_value(blobs.dispersal(data(1, 2))).unwrap();
    let text = "Failed to disperse data: 1 of 4 members have stored their shares, it takes 2";
    assert_eq!(blobs.cluster.post(3, "/disperse-data", &body).await, (500, text.to_owned()));
}

async fn fault_withhold_shares() {
    let mut blobs = Blobs::with_faults(|index, faults| faults.withhold_shares = index != 2).await;
    let blob = blobs.publish(3, data(1, 8), &ALL).await;
    for node in ALL {
        let shares = blobs.shares(node, blob).await.unwrap();
        assert_eq!(shares.iter().map(Share::index).collect::<Vec<_>>(), [2]);
    }
    assert_eq!((blobs.own(1, blob).await, blobs.own(2, blob).await.is_some()), (None, true));
    assert!(blobs.says(1, "fault withhold_shares: gave no share"));
}

async fn fault_corrupt_shares() {
    let mut blobs = Blobs::with_faults(|index, faults| faults.corrupt_shares = index != 2).await;
    let blob = blobs.publish(3, data(1, 8), &ALL).await;
    // Who gets a wrong one does not pass it on.
    assert_eq!(blobs.restored(2, blob).await, Err("1 good shares and 0 bad ones, it takes 2".to_owned()));
    assert_eq!(blobs.restored(1, blob).await, Err("1 good shares and 1 bad ones, it takes 2".to_owned()));
    assert!(blobs.says(1, "fault corrupt_shares: gave a share with a wrong byte"));
    assert!(blobs.says(2, "refused a share: it is none of the blob's"));
    let stats = blobs.cluster.get(2, "/da/monitor-stats").await.unwrap().json::<Value>().await.unwrap();
    assert!(!stats.as_object().unwrap().is_empty());
}

async fn fault_lose_blobs() {
    let mut blobs = Blobs::with_faults(|_, faults| faults.lose_blobs = true).await;
    let blob = blobs.publish(3, data(1, 8), &ALL).await;
    for node in ALL {
        assert_eq!(blobs.shares(node, blob).await, Err("500 Blob index not found".to_owned()));
        assert!(blobs.says(node, "fault lose_blobs: forgot the shares of a blob"));
    }
}

async fn fault_refuse_sampling() {
    let blobs = Blobs::with_faults(|_, faults| faults.refuse_sampling = true).await;
    let (blob, message) = blobs.disperse(3, data(1, 8)).await;
    let height = blobs.cluster.height(0).await;
    agree_at(&blobs.cluster, height + 8, 40).await;
    assert!(!blobs.is_included(0, message).await);
    assert_eq!(blobs.restored(0, blob).await, Ok(data(1, 8)));
    assert!(blobs.says(1, "fault refuse_sampling: answered no sample"));
}

async fn fault_drop_dispersals() {
    let blobs = Blobs::with_faults(|index, faults| faults.drop_dispersals = index == 3).await;
    let (blob, message) = blobs.disperse(3, data(1, 8)).await;
    assert!(blobs.says(3, "fault drop_dispersals: acknowledged a blob and dropped it"));
    assert_eq!(blobs.shares(0, blob).await, Err("500 Blob index not found".to_owned()));
    // The other one publishes it.
    assert_eq!(blobs.disperse(4, data(1, 8)).await, (blob, message));
    until("the blob is in a block", 30, async || blobs.is_included(0, message).await).await;
}
