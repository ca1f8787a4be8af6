//! The chain of a fake cluster: one lottery per slot, blocks heard at once by all that are connected.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use blake2::{Blake2b, Digest, digest::consts::U32};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::Fault;
use crate::deployer::ClusterError;
use crate::node::HeaderId;

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
    tip: HeaderId,
    up: bool,
    apart: bool,
    pool: BTreeMap<String, Value>,
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
        }
    }

    /// Adds a node that has these faults, each from a height on, and runs or not.
    pub(super) fn add(&mut self, name: &str, faults: Vec<(u64, Fault)>, runs: bool) {
        let (name, tip) = (name.to_owned(), self.genesis);
        self.nodes.push(Node {
            name,
            faults,
            tip,
            up: false,
            apart: false,
            pool: BTreeMap::new(),
            log: String::new(),
        });
        if runs {
            let name = self.nodes[self.nodes.len() - 1].name.clone();
            self.start(&name);
        }
    }

    /// One slot passes; returns the nodes that ended in it.
    pub(super) fn slot(&mut self) -> Vec<String> {
        self.slot += 1;
        let (alone, together): (Vec<usize>, Vec<usize>) =
            (0..self.nodes.len()).filter(|&node| self.nodes[node].up).partition(|&node| self.is_apart(node));
        for group in alone.into_iter().map(|node| vec![node]).chain([together]) {
            self.lottery(&group);
        }
        self.panics()
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
        let included = self.included(parent);
        let pending = |pool: &BTreeMap<String, Value>| {
            pool.iter().filter(|(id, _)| !included.contains_key(*id)).map(|(_, tx)| tx.clone()).collect()
        };
        let block = Block {
            parent,
            slot: self.slot,
            height: self.height(parent) + 1,
            maker: self.nodes[leader].name.clone(),
            transactions: pending(&self.nodes[leader].pool),
        };
        let id = hash(&(parent, self.slot, &block.maker));
        for &node in group {
            self.nodes[node].tip = id;
            writeln!(self.nodes[node].log, "block {id} at height {} in slot {}", block.height, self.slot)
                .expect("a string can be written to");
        }
        self.blocks.insert(id, block);
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
    pub(super) fn start(&mut self, name: &str) {
        self.node(name).log.push_str("started\n");
        self.up(name);
    }

    pub(super) fn up(&mut self, name: &str) {
        let running =
            (0..self.nodes.len()).filter(|&node| self.nodes[node].up || self.nodes[node].name == name);
        let highest = self.highest(&running.collect::<Vec<_>>());
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
                    |other: &usize| *other != index && self.nodes[*other].up && !self.nodes[*other].apart;
                let peers = match self.nodes[index].apart {
                    true => 0,
                    false => (0..self.nodes.len()).filter(heard).count(),
                };
                let info = json!({
                    "listen_addresses": [], "n_peers": peers, "n_connections": peers, "n_pending_connections": 0
                });
                (200, info)
            }
            ("/storage/block", Some(id)) => (200, self.block(id)),
            ("/mempool/add/tx", Some(transaction)) => self.submit(index, transaction),
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
            let alone = self.is_apart(node);
            for other in 0..self.nodes.len() {
                if other == node || !(alone || self.is_apart(other)) {
                    self.nodes[other].pool.insert(id.clone(), transaction.clone());
                }
            }
        }
        (200, Value::Null)
    }
}
