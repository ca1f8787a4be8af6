//! The chain of a fake cluster: one lottery per slot, blocks heard at once by all that are connected.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use blake2::{Blake2b, Digest, digest::consts::U32};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::Fault;
use super::data::{self, Share};
use crate::deployer::{ClusterError, Usage};
use crate::faults::{Link, LinkState, NetworkFault, Shape, shapes};
use crate::node::{BlobId, Dispersal, HeaderId, Message, MessageId, ShareRequest};

pub(super) fn hash(parts: &impl serde::Serialize) -> HeaderId {
    let text = serde_json::to_vec(parts).expect("plain data becomes JSON");
    HeaderId(Blake2b::<U32>::digest(text).into())
}

#[derive(Clone)]
struct Block {
    parent: HeaderId,
    slot: u64,
    height: u64,
    maker: String,
    transactions: Vec<Value>,
}

struct Node {
    name: String,
    faults: Vec<(u64, Fault)>,
    /// What it has in their place from its next start on.
    next: Option<Vec<(u64, Fault)>>,
    tip: HeaderId,
    up: bool,
    apart: bool,
    pool: BTreeMap<String, Value>,
    shares: HashMap<BlobId, Vec<Share>>,
    log: String,
}

pub(super) struct Chain {
    nodes: Vec<Node>,
    blocks: HashMap<HeaderId, Block>,
    genesis: HeaderId,
    slot: u64,
    active_slot_coeff: f64,
    security_param: u32,
    rng: ChaCha8Rng,
    closed: bool,
    /// Network faults in force.
    disturbed: Vec<NetworkFault>,
}

impl Chain {
    pub(super) fn new(active_slot_coeff: f64, security_param: u32, seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            blocks: HashMap::new(),
            genesis: hash(&"genesis"),
            slot: 0,
            active_slot_coeff,
            security_param,
            rng: ChaCha8Rng::seed_from_u64(seed),
            closed: false,
            disturbed: Vec::new(),
        }
    }

    /// Adds a node that has these faults, each from a height on, and runs or not.
    pub(super) fn add(&mut self, name: &str, faults: Vec<(u64, Fault)>, runs: bool) {
        let (name, tip) = (name.to_owned(), self.genesis);
        self.nodes.push(Node {
            name,
            faults,
            next: None,
            tip,
            up: false,
            apart: false,
            pool: BTreeMap::new(),
            shares: HashMap::new(),
            log: String::new(),
        });
        if runs {
            let name = self.nodes[self.nodes.len() - 1].name.clone();
            self.start(&name);
        }
    }

    /// What a node uses: a slot takes it a millisecond, and one that leaks two seconds.
    pub(super) fn usage(&self, name: &str) -> Option<Usage> {
        const LEAST: u64 = 10 << 20;
        let index = self.nodes.iter().position(|node| node.name == name)?;
        let leaks = self.suffers(index, Fault::Leak);
        let memory = LEAST + if leaks { self.height(self.nodes[index].tip) << 20 } else { 0 };
        let processor = self.slot * if leaks { 2_000 } else { 1 };
        Some(Usage { memory, processor: Duration::from_millis(processor) })
    }

    /// One slot passes; returns the nodes that ended in it.
    pub(super) fn slot(&mut self) -> Vec<String> {
        self.slot += 1;
        for group in self.groups() {
            self.lottery(&group);
        }
        self.panics()
    }

    /// The nodes that are up, in groups of those that hear each other.
    fn groups(&self) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for node in (0..self.nodes.len()).filter(|&node| self.nodes[node].up) {
            match groups.iter_mut().find(|group| self.hear(group[0], node)) {
                Some(group) => group.push(node),
                None => groups.push(vec![node]),
            }
        }
        groups
    }

    /// Whether two nodes hear each other while both are up.
    fn hear(&self, one: usize, other: usize) -> bool {
        one == other || !(self.is_apart(one) || self.is_apart(other) || self.cut(one, other))
    }

    fn cut(&self, one: usize, other: usize) -> bool {
        let link = self.link(one, other);
        shapes(&self.disturbed, [&link])[&link].cut
    }

    fn link(&self, from: usize, to: usize) -> Link {
        Link::new(&self.nodes[from].name, &self.nodes[to].name)
    }

    /// Lets these faults be in force; who hears others again follows the highest of them.
    pub(super) fn disturb(&mut self, faults: Vec<NetworkFault>) {
        self.disturbed = faults;
        for group in self.groups() {
            let highest = self.highest(&group);
            for node in group {
                self.nodes[node].tip = highest;
            }
        }
    }

    /// Every two nodes are linked, and something passes wherever it can.
    pub(super) fn links(&self) -> Vec<LinkState> {
        let all = 0..self.nodes.len();
        let pairs = all.clone().flat_map(|from| all.clone().map(move |to| (from, to)));
        let state = |(from, to): (usize, usize)| {
            let passes = u64::from(self.nodes[from].up && self.nodes[to].up && self.hear(from, to));
            let shape = Shape { cut: self.cut(from, to), ..Shape::default() };
            LinkState {
                link: self.link(from, to),
                shape,
                open: passes,
                passed: passes,
                lost: 0,
                least_held: None,
                fastest: None,
            }
        };
        pairs.filter(|(from, to)| from != to).map(state).collect()
    }

    /// Perhaps one of the group makes a block, and all of the group hear it.
    fn lottery(&mut self, group: &[usize]) {
        let share = group.len() as f64 / self.nodes.len() as f64;
        let won = self.rng.random_bool(1.0 - (1.0 - self.active_slot_coeff).powf(share));
        let Some(&leader) = group.choose(&mut self.rng).filter(|_| won) else { return };
        if self.suffers(leader, Fault::Idle) {
            return;
        }
        let parent = self.highest(group);
        let transactions = self.pending(leader, parent);
        let block = Block {
            parent,
            slot: self.slot,
            height: self.height(parent) + 1,
            maker: self.nodes[leader].name.clone(),
            transactions,
        };
        let id = hash(&(parent, self.slot, &block.maker));
        for blob in block.transactions.iter().filter_map(|tx| data::message(tx)?.blob) {
            self.lose(blob);
        }
        for &node in group {
            self.nodes[node].tip = id;
            writeln!(self.nodes[node].log, "block {id} at height {} in slot {}", block.height, self.slot)
                .expect("a string can be written to");
        }
        self.blocks.insert(id, block);
    }

    /// What a node's pool has for a block after `parent`: of each channel what follows its last message.
    fn pending(&self, node: usize, parent: HeaderId) -> Vec<Value> {
        let included = self.included(parent);
        let messages = || self.ancestors(parent).flat_map(|(_, block)| &block.transactions);
        // The walk is from the newest block down.
        let tip = |channel| {
            let on = messages().filter_map(data::message).find(|message| message.channel == channel);
            on.map_or(MessageId::NONE, |message| message.id)
        };
        let fits = |tx: &Value| match data::message(tx) {
            None => true,
            Some(Message { blob: Some(_), .. }) if self.suffers(node, Fault::RefuseSampling) => false,
            Some(message) => message.parent == tip(message.channel),
        };
        let pool = &self.nodes[node].pool;
        pool.iter()
            .filter(|(id, tx)| !included.contains_key(*id) && fits(tx))
            .map(|(_, tx)| tx.clone())
            .collect()
    }

    /// Nodes that lose blobs forget one that is in a block.
    fn lose(&mut self, blob: BlobId) {
        for node in 0..self.nodes.len() {
            if self.suffers(node, Fault::LoseBlobs) {
                self.nodes[node].shares.remove(&blob);
            }
        }
    }

    fn panics(&mut self) -> Vec<String> {
        let ended: Vec<usize> = (0..self.nodes.len())
            .filter(|&node| self.nodes[node].up && self.suffers(node, Fault::Panic))
            .collect();
        for &node in &ended {
            self.nodes[node].up = false;
            self.nodes[node].log.push_str("thread 'main' panicked at fake.rs:1:1:\nthe fault fired\n");
        }
        ended.into_iter().map(|node| self.nodes[node].name.clone()).collect()
    }

    fn suffers(&self, node: usize, fault: Fault) -> bool {
        let Node { faults, tip, .. } = &self.nodes[node];
        let height = self.height(*tip);
        faults.iter().any(|(from, what)| height >= *from && *what == fault)
    }

    /// Whether a node hears nobody and is not heard.
    fn is_apart(&self, node: usize) -> bool {
        self.nodes[node].apart || self.suffers(node, Fault::Fork)
    }

    fn highest(&self, group: &[usize]) -> HeaderId {
        let tips = group.iter().map(|&node| self.nodes[node].tip);
        tips.max_by_key(|tip| self.height(*tip)).unwrap_or(self.genesis)
    }

    pub(super) fn best_height(&self) -> u64 {
        self.blocks.values().map(|block| block.height).max().unwrap_or_default()
    }

    fn height(&self, id: HeaderId) -> u64 {
        self.blocks.get(&id).map_or(0, |block| block.height)
    }

    fn ancestors(&self, tip: HeaderId) -> impl Iterator<Item = (HeaderId, &Block)> {
        let block = |id: HeaderId| Some((id, self.blocks.get(&id)?));
        std::iter::successors(block(tip), move |(_, child)| block(child.parent))
    }

    fn included(&self, tip: HeaderId) -> HashMap<String, HeaderId> {
        let transactions =
            self.ancestors(tip).flat_map(|(id, block)| block.transactions.iter().map(move |tx| (tx, id)));
        transactions.map(|(tx, id)| (tx["id"].to_string(), id)).collect()
    }

    /// Starts a node's program anew; it has the chain that it had, and hears of the highest.
    /// Lets a node have these faults from its next start on.
    pub(super) fn replan(&mut self, name: &str, faults: Vec<(u64, Fault)>) {
        self.node(name).next = Some(faults);
    }

    pub(super) fn start(&mut self, name: &str) {
        let node = self.node(name);
        node.log.push_str("started\n");
        node.faults = node.next.take().unwrap_or(std::mem::take(&mut node.faults));
        self.up(name);
    }

    pub(super) fn up(&mut self, name: &str) {
        let index = self.nodes.iter().position(|node| node.name == name);
        let heard = (0..self.nodes.len()).filter(|&node| {
            index == Some(node) || (self.nodes[node].up && index.is_some_and(|index| self.hear(index, node)))
        });
        let highest = self.highest(&heard.collect::<Vec<_>>());
        let node = self.node(name);
        node.up = true;
        node.tip = highest;
    }

    /// Cuts a node off from all others, or lets it hear them again.
    pub(super) fn set_apart(&mut self, name: &str, apart: bool) {
        let node = self.node(name);
        node.apart = apart;
        if node.up && !apart {
            self.up(name);
        }
    }

    pub(super) fn down(&mut self, name: &str) {
        self.node(name).up = false;
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.name == name).expect("the cluster has looked the node up")
    }

    /// Ends all nodes for good.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.nodes.iter_mut().for_each(|node| node.up = false);
    }

    /// Whether nodes may still be told to do anything.
    pub(super) fn is_open(&self, node: &str) -> Result<(), ClusterError> {
        if !self.closed {
            return Ok(());
        }
        Err(ClusterError { subject: node.to_owned(), what: "its cluster is gone".to_owned() })
    }

    pub(super) fn log(&self, name: &str) -> Option<&str> {
        self.nodes.iter().find(|node| node.name == name).map(|node| node.log.as_str())
    }

    /// A node's answer to a request, or why none comes.
    pub(super) fn answer(
        &mut self,
        name: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), String> {
        let index = self.nodes.iter().position(|node| node.name == name).ok_or("there is no such node")?;
        if !self.nodes[index].up || self.suffers(index, Fault::Closed) {
            return Err("connection refused".to_owned());
        }
        if self.suffers(index, Fault::Garbage) {
            return Ok((200, json!("<html>no node</html>")));
        }
        Ok(match (path, body) {
            ("/cryptarchia/info", None) => (200, self.info(index)),
            ("/network/info", None) => {
                let heard =
                    |other: &usize| *other != index && self.nodes[*other].up && self.hear(index, *other);
                let peers = (0..self.nodes.len()).filter(heard).count();
                let info = json!({
                    "listen_addresses": [], "n_peers": peers, "n_connections": peers, "n_pending_connections": 0
                });
                (200, info)
            }
            ("/storage/block", Some(id)) => (200, self.block(id)),
            ("/mempool/add/tx", Some(transaction)) => self.submit(index, transaction),
            ("/disperse-data", Some(dispersal)) => self.disperse(index, dispersal),
            ("/da/sampling/shares", Some(wanted)) => self.shares(index, wanted),
            ("/test/da/membership", Some(_)) => {
                let names: Vec<_> = self.nodes.iter().map(|node| node.name.clone()).collect();
                (200, json!({ "assignations": { "0": names }, "addressbook": {} }))
            }
            _ => (404, Value::Null),
        })
    }

    fn info(&self, node: usize) -> Value {
        let tip = self.nodes[node].tip;
        let lib = self.ancestors(tip).nth(self.security_param as usize).map_or(self.genesis, |(id, _)| id);
        let slot = self.blocks.get(&tip).map_or(0, |block| block.slot);
        json!({ "lib": lib, "tip": tip, "slot": slot, "height": self.height(tip), "mode": "Online" })
    }

    fn block(&self, id: &Value) -> Value {
        let id = serde_json::from_value(id.clone()).ok();
        id.and_then(|id: HeaderId| self.blocks.get(&id)).map_or(Value::Null, |block| {
            json!({
                "header": {
                    "parent_block": block.parent,
                    "slot": block.slot,
                    "proof_of_leadership": { "leader_key": block.maker },
                },
                "transactions": block.transactions,
            })
        })
    }

    fn submit(&mut self, node: usize, transaction: &Value) -> (u16, Value) {
        let id = transaction["id"].to_string();
        if self.nodes[node].pool.contains_key(&id) {
            return (500, json!("Item already in mempool"));
        }
        if !self.suffers(node, Fault::DropTransactions) {
            for other in 0..self.nodes.len() {
                if self.hear(node, other) {
                    self.nodes[other].pool.insert(id.clone(), transaction.clone());
                }
            }
        }
        (200, Value::Null)
    }

    /// Keeps each share of a blob on every third node, and publishes the blob.
    fn disperse(&mut self, executor: usize, dispersal: &Value) -> (u16, Value) {
        let Ok(dispersal) = serde_json::from_value::<Dispersal>(dispersal.clone()) else {
            return (422, json!("Failed to deserialize the JSON body into the target type"));
        };
        let blob = data::blob_id(&dispersal.data);
        if self.suffers(executor, Fault::DropDispersals) {
            return (200, json!(blob));
        }
        let count = self.nodes.len();
        for share in data::shares(&dispersal.data) {
            for node in 0..count {
                let keeps = node % data::SHARES == share.share_idx || share.share_idx % count == node;
                let hears = self.nodes[node].up && self.hear(executor, node);
                if keeps && hears {
                    self.nodes[node].shares.entry(blob).or_default().push(share.clone());
                }
            }
        }
        match self.submit(executor, &data::publication(&dispersal)) {
            // The same request makes the same transaction.
            (200, _) | (500, _) => (200, json!(blob)),
            refused => refused,
        }
    }

    /// The shares that a node has or gets from those that it hears.
    fn shares(&self, node: usize, wanted: &Value) -> (u16, Value) {
        let Ok(wanted) = serde_json::from_value::<ShareRequest>(wanted.clone()) else {
            return (422, json!("Failed to deserialize the JSON body into the target type"));
        };
        let gives = |other: usize| {
            let heard = self.nodes[other].up && self.hear(node, other);
            heard && !self.suffers(other, Fault::WithholdShares)
        };
        let given = (0..self.nodes.len()).filter(|other| gives(*other)).flat_map(|other| {
            let corrupts = self.suffers(other, Fault::CorruptShares);
            let shares = self.nodes[other].shares.get(&wanted.blob_id).into_iter().flatten().cloned();
            shares.map(move |share| if corrupts { share.corrupted() } else { share })
        });
        let given: Vec<_> = given.map(|share| json!(share)).collect();
        if given.is_empty() { (500, json!("Blob index not found")) } else { (200, json!(given)) }
    }
}
