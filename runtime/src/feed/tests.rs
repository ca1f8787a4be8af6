//! The feed on chains that the test writes: any tree of blocks, told by nodes that come and go.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::deployer::BoxFuture;
use crate::fake::FakeProgram;
use crate::node::{Reply, Request, Streamed, Transport};
use crate::topology::Role;
use crate::wait::pause;

/// Depth at which a block is final.
const FINAL: usize = 3;
const SLOT: Duration = Duration::from_secs(1);

/// All blocks there are, by number: the parent of each; number 0 is genesis.
#[derive(Debug)]
struct Blocks(Vec<usize>);

impl Blocks {
    fn new() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self(vec![0])))
    }

    fn add(&mut self, parent: usize) -> usize {
        self.0.push(parent);
        self.0.len() - 1
    }

    /// From the block down to genesis, which is not in it.
    fn chain(&self, block: usize) -> Vec<usize> {
        std::iter::successors(Some(block), |block| Some(self.0[*block]))
            .take_while(|block| *block > 0)
            .collect()
    }

    fn height(&self, block: usize) -> u64 {
        self.chain(block).len() as u64
    }

    fn lib(&self, tip: usize) -> usize {
        self.chain(tip).get(FINAL).copied().unwrap_or(0)
    }
}

fn id(number: usize) -> HeaderId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    HeaderId(bytes)
}

fn number(id: HeaderId) -> usize {
    u64::from_be_bytes(id.0[..8].try_into().unwrap()) as usize
}

/// A node that follows one of the blocks.
#[derive(Clone)]
struct Scripted {
    blocks: Arc<Mutex<Blocks>>,
    /// `None` while the node is silent.
    tip: Arc<Mutex<Option<usize>>>,
    /// Announces blocks, where the node has a block stream.
    applied: Option<tokio::sync::broadcast::Sender<usize>>,
}

impl Scripted {
    fn new(blocks: &Arc<Mutex<Blocks>>) -> Self {
        Self { blocks: Arc::clone(blocks), tip: Arc::new(Mutex::new(Some(0))), applied: None }
    }

    fn follow(&self, tip: Option<usize>) {
        *self.tip.lock().unwrap() = tip;
    }

    fn answer(&self, request: &Request) -> Result<serde_json::Value, String> {
        let tip = self.tip.lock().unwrap().ok_or("it is silent")?;
        let blocks = self.blocks.lock().unwrap();
        let height = blocks.height(tip);
        let Some(asked) = &request.body else {
            let lib = id(blocks.lib(tip));
            return Ok(
                json!({ "lib": lib, "tip": id(tip), "slot": height, "height": height, "mode": "Online" }),
            );
        };
        let asked = number(serde_json::from_value(asked.clone()).unwrap());
        if asked == 0 {
            return Ok(serde_json::Value::Null);
        }
        Ok(json!({
            "header": {
                "parent_block": id(blocks.0[asked]),
                "slot": blocks.height(asked),
                "proof_of_leadership": { "leader_key": "" },
            },
            "transactions": [],
        }))
    }
}

impl Transport for Scripted {
    fn url(&self) -> &str {
        "scripted"
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, String>> {
        let answer = self.answer(&request);
        Box::pin(async move { Ok(Reply { status: 200, body: answer?.to_string().into_bytes() }) })
    }

    fn stream(&self, _: &str) -> BoxFuture<'_, Result<Streamed, String>> {
        let Some(applied) = &self.applied else {
            return Box::pin(async { Ok(Streamed { status: 404, lines: futures::stream::empty().boxed() }) });
        };
        let line = |mut applied: tokio::sync::broadcast::Receiver<usize>| async move {
            let header = json!({ "id": id(applied.recv().await.ok()?), "parent_block": id(0), "slot": 0 });
            Some((Ok(json!({ "header": header }).to_string()), applied))
        };
        let lines = futures::stream::unfold(applied.subscribe(), line).boxed();
        Box::pin(async { Ok(Streamed { status: 200, lines }) })
    }
}

fn feed(nodes: &[Scripted], floor: u64, history: usize) -> BlockFeed {
    let client = |node: &Scripted| NodeClient::new("node", Role::Validator, Arc::new(Scripted::clone(node)));
    let clients: Vec<_> = nodes.iter().map(client).collect();
    let tree = Tree::new(clients.iter().map(NodeClient::name), floor, history);
    BlockFeed::follow(tree, &clients, Arc::new(FakeProgram), SLOT)
}

fn told(event: Event) -> String {
    match event {
        Event::Block(block) => format!("block {}", number(block.id)),
        Event::Reorg { from, to, depth } => format!("reorg {} to {} by {depth}", number(from), number(to)),
        Event::Finalized { id } => format!("final {}", number(id)),
        Event::Lagged { missed } => format!("missed {missed}"),
    }
}

async fn next(events: &mut Subscription, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(told(events.next().await));
    }
    assert_eq!(events.try_next(), None);
    all
}

fn rest(events: &mut Subscription) -> Vec<Event> {
    std::iter::from_fn(|| events.try_next()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_block_comes_once_and_parents_first() {
    let blocks = Blocks::new();
    let nodes = [Scripted::new(&blocks), Scripted::new(&blocks)];
    let feed = feed(&nodes, 0, HISTORY);
    let mut events = feed.subscribe();
    (0..3).for_each(|parent| _ = blocks.lock().unwrap().add(parent));
    nodes.iter().for_each(|node| node.follow(Some(3)));
    assert_eq!(next(&mut events, 3).await, ["block 1", "block 2", "block 3"]);
    blocks.lock().unwrap().add(3);
    nodes[1].follow(Some(4));
    assert_eq!(next(&mut events, 2).await, ["block 4", "final 1"]);
    assert_eq!(next(&mut feed.replay(), 5).await[4], "final 1");
    assert_eq!(feed.leased().replay().try_next(), None);
}

#[tokio::test(start_paused = true)]
async fn a_longer_branch_is_a_reorganisation_as_deep_as_what_it_abandons() {
    let blocks = Blocks::new();
    let nodes = [Scripted::new(&blocks), Scripted::new(&blocks)];
    let feed = feed(&nodes, 0, HISTORY);
    let mut events = feed.subscribe();
    (0..3).for_each(|parent| _ = blocks.lock().unwrap().add(parent));
    nodes[0].follow(Some(3));
    assert_eq!(next(&mut events, 3).await.len(), 3);
    [1, 4, 5].into_iter().for_each(|parent| _ = blocks.lock().unwrap().add(parent));
    nodes[1].follow(Some(6));
    assert_eq!(next(&mut events, 5).await, ["block 4", "block 5", "block 6", "reorg 3 to 6 by 2", "final 1"]);
    assert_eq!(feed.common_height(id(3), id(6)), 1);
    assert_eq!(feed.common_height(id(6), id(0)), 0);
    assert_eq!(feed.stats().reorgs, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_the_feed_is_not_fetched_and_taken_to_be_shared() {
    let blocks = Blocks::new();
    let nodes = [Scripted::new(&blocks), Scripted::new(&blocks), Scripted::new(&blocks)];
    (0..10).for_each(|parent| _ = blocks.lock().unwrap().add(parent));
    // Another branch from below where the feed begins.
    let forked = [2, 11, 12, 13, 14, 15].map(|parent| blocks.lock().unwrap().add(parent)).into_iter().max();
    nodes[0].follow(Some(10));
    nodes[1].follow(forked);
    nodes[2].follow(Some(3));
    let feed = feed(&nodes, 6, HISTORY);
    feed.complete(["node"].into_iter()).await;
    let seen: BTreeSet<_> = rest(&mut feed.replay()).into_iter().map(told).collect();
    assert_eq!(
        seen,
        ["block 10", "block 15", "block 16", "block 7", "block 8", "block 9", "final 7"]
            .map(str::to_owned)
            .into()
    );
    assert_eq!(feed.chain(id(10)).len(), 4);
    assert_eq!(feed.common_height(id(10), id(16)), 6, "they are apart above it");
    assert_eq!(feed.common_height(id(10), id(3)), 6, "and a node that is still below is on both");
}

#[tokio::test(start_paused = true)]
async fn a_slow_listener_is_told_how_much_it_missed() {
    let blocks = Blocks::new();
    let node = Scripted::new(&blocks);
    let feed = feed(std::slice::from_ref(&node), 0, 16);
    let mut slow = feed.subscribe();
    (0..20).for_each(|parent| _ = blocks.lock().unwrap().add(parent));
    for tip in [4, 8, 12, 16, 20] {
        node.follow(Some(tip));
        pause(SLOT).await;
    }
    // 20 blocks and 17 final ones, of which 16 are kept.
    let events: Vec<_> = rest(&mut slow).into_iter().map(told).collect();
    assert_eq!((events[0].as_str(), events.len()), ("missed 21", 17));
    assert_eq!(events[16], "final 17");
    pause(SLOT * 4).await;
    assert_eq!(slow.try_next(), None, "forgotten blocks do not come again");
    assert!(feed.stats().blocks < 20);
}

#[tokio::test(start_paused = true)]
async fn a_block_stream_tells_of_a_block_at_once_and_of_branches_that_no_tip_has() {
    let blocks = Blocks::new();
    let applied = tokio::sync::broadcast::Sender::new(16);
    let node = Scripted { applied: Some(applied.clone()), ..Scripted::new(&blocks) };
    let feed = feed(std::slice::from_ref(&node), 0, HISTORY);
    pause(SLOT / 10).await;
    let mut events = feed.subscribe();
    (0..2).for_each(|parent| _ = blocks.lock().unwrap().add(parent));
    let beside = blocks.lock().unwrap().add(1);
    node.follow(Some(2));
    let began = Instant::now();
    for block in [1, 2, beside] {
        applied.send(block).unwrap();
    }
    assert_eq!(next(&mut events, 3).await, ["block 1", "block 2", "block 3"]);
    assert!(began.elapsed() < SLOT / 10, "{:?}", began.elapsed());
}

/// Something that happens to the chain of three nodes.
#[derive(Clone, Debug)]
enum Step {
    /// A block after one of those there are.
    Grow(prop::sample::Index),
    /// A node follows one of them.
    Adopt(usize, prop::sample::Index),
    Silence(usize),
    /// The feed gets its time to look.
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<prop::sample::Index>().prop_map(Step::Grow),
        4 => (0..3_usize, any::<prop::sample::Index>()).prop_map(|(node, block)| Step::Adopt(node, block)),
        1 => (0..3_usize).prop_map(Step::Silence),
        3 => Just(Step::Look),
    ]
}

/// What the feed must have seen, as a plain reading of the steps says.
#[derive(Default)]
struct Model {
    seen: BTreeSet<usize>,
    finalized: BTreeSet<usize>,
    best: u64,
}

impl Model {
    fn look(&mut self, blocks: &Blocks, nodes: &[Scripted]) {
        for tip in nodes.iter().filter_map(|node| *node.tip.lock().unwrap()) {
            self.seen.extend(blocks.chain(tip));
            self.finalized.extend(blocks.chain(blocks.lib(tip)));
            self.best = self.best.max(blocks.height(tip));
        }
    }
}

async fn check_tree(steps: Vec<Step>) {
    let blocks = Blocks::new();
    let nodes = [0; 3].map(|_| Scripted::new(&blocks));
    let feed = feed(&nodes, 0, HISTORY);
    let mut live = feed.subscribe();
    let mut model = Model::default();
    for step in steps.into_iter().chain([Step::Look]) {
        match step {
            Step::Grow(parent) => {
                let mut blocks = blocks.lock().unwrap();
                let parent = parent.index(blocks.0.len());
                blocks.add(parent);
            }
            Step::Adopt(node, block) => {
                nodes[node].follow(Some(block.index(blocks.lock().unwrap().0.len())));
            }
            Step::Silence(node) => nodes[node].follow(None),
            Step::Look => {
                pause(SLOT).await;
                model.look(&blocks.lock().unwrap(), &nodes);
            }
        }
    }
    let events = rest(&mut live);
    assert_eq!(events, rest(&mut feed.replay()), "a replay tells the same");
    check_events(&events, &blocks.lock().unwrap(), &model);
    assert_eq!(feed.best_height(), model.best);
}

/// Each block once and after its parent, each reorganisation as deep as what it abandons, each final block
/// once and after its parent, and nothing missing.
fn check_events(events: &[Event], blocks: &Blocks, model: &Model) {
    let (mut seen, mut finalized) = (BTreeSet::new(), BTreeSet::new());
    let mut heights = BTreeMap::from([(0, 0)]);
    for event in events {
        match event {
            Event::Block(block) => {
                let (id, parent) = (number(block.id), number(block.parent));
                assert!(seen.insert(id), "block {id} came twice");
                assert_eq!(heights.get(&parent).map(|height| height + 1), Some(block.height));
                heights.insert(id, block.height);
            }
            Event::Reorg { from, to, depth } => {
                let (old, new) = (blocks.chain(number(*from)), blocks.chain(number(*to)));
                let abandoned = old.iter().filter(|block| !new.contains(block)).count();
                assert_eq!(abandoned as u64, *depth);
                assert!(abandoned > 0 && new.len() > old.len());
            }
            Event::Finalized { id } => {
                let id = number(*id);
                assert!(seen.contains(&id) && finalized.insert(id), "block {id} is final twice");
                let parent = blocks.0[id];
                assert!(parent == 0 || finalized.contains(&parent));
            }
            Event::Lagged { missed } => panic!("{missed} events missed"),
        }
    }
    assert_eq!((seen, finalized), (model.seen.clone(), model.finalized.clone()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_is_told_once_in_order_and_without_a_gap(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(check_tree(steps));
    }
}
