//! What a node passes on, and what not, whoever says it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use libp2p::gossipsub::TopicHash;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, Message};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::time::timeout;

use super::links::listen;
use super::*;
use crate::chain::Chain;
use crate::chain::tests::{LATEST, leader, settings};
use crate::config::{Peer, Settings};
use crate::keys::SecretKey;
use crate::node::protocol::Question;
use crate::node::telemetry::Spans;
use crate::wallet::{account_key, transfer};
use crate::wire::{Output, TransactionId};

/// No step takes that long.
const LATE: Duration = Duration::from_secs(60);

/// A stranger to the rules: says what it is told to say, and keeps all that it hears.
struct Stranger {
    key: SecretKey,
    swarm: Swarm<Behaviour>,
    topics: Topics,
    heard: Vec<String>,
    /// Transactions of blocks that a peer said to have abandoned.
    told: Vec<TransactionId>,
    /// How often a peer has said that it listens to a topic: there are three.
    listeners: usize,
}

impl Stranger {
    async fn new(index: u8) -> Self {
        let (key, genesis) = (leader(index), Chain::new(&settings()).genesis());
        let topics = Topics::new(genesis);
        let mut swarm = swarm(&key, genesis, &topics).unwrap();
        listen(&mut swarm, ([127, 0, 0, 1], 0).into()).await.unwrap();
        Self { key, swarm, topics, heard: Vec::new(), told: Vec::new(), listeners: 0 }
    }

    fn place(&self) -> Peer {
        let port = self.swarm.listeners().next().unwrap().iter().find_map(|part| match part {
            Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        Peer { address: format!("127.0.0.1:{}", port.unwrap()), public_key: self.key.public() }
    }

    fn say(&mut self, topic: TopicHash, data: String) {
        self.swarm.behaviour_mut().gossip.publish(topic, data).unwrap();
    }

    /// Goes on until something has happened. Questions are left without an answer.
    async fn step(&mut self) {
        match self.swarm.select_next_some().await {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message { message, .. })) => {
                self.heard.push(String::from_utf8(message.data).unwrap());
            }
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed { .. })) => {
                self.listeners += 1;
            }
            SwarmEvent::Behaviour(BehaviourEvent::Questions(request_response::Event::Message {
                message: Message::Request { request: Question::Abandoned(transactions), .. },
                ..
            })) => self.told.extend(transactions.iter().map(|transaction| transaction.id())),
            _ => {}
        }
    }
}

/// A node between two strangers, who have no other way to each other.
struct Between {
    one: Stranger,
    other: Stranger,
}

impl Between {
    /// Runs a node, and the case beside it.
    async fn run(case: impl AsyncFnOnce(Self)) {
        let (one, other) = (Stranger::new(10).await, Stranger::new(11).await);
        let settings = Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            peers: vec![one.place(), other.place()],
            ..settings()
        };
        let (told, come) = unbounded_channel();
        let state = Shared::load(&settings, told.clone(), Spans::default()).unwrap();
        let mut node = Network::new(&settings, state, told).unwrap();
        node.listen().await.unwrap();
        let (_submitted, to_publish) = unbounded_channel();
        tokio::select! {
            () = node.run(to_publish, come) => unreachable!("it runs until the process ends"),
            () = case(Self { one, other }) => {}
        }
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let steps = async {
            while !holds(self) {
                tokio::select! {
                    () = self.one.step() => {}
                    () = self.other.step() => {}
                }
            }
        };
        timeout(LATE, steps).await.unwrap_or_else(|_| panic!("not within {LATE:?}: {what}"));
    }

    /// One says it, and the other hears it from the node. Returns what was said.
    async fn pass(&mut self, topic: TopicHash, message: &impl Serialize) -> String {
        let data = json(message);
        self.one.say(topic, data.clone());
        self.until("the other hears it", |both| both.other.heard.contains(&data)).await;
        data
    }
}

fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap()
}

fn payment(value: u64) -> SignedTransaction {
    let note = settings().genesis.account_note(0).unwrap();
    let pk = account_key(1).public();
    transfer(&[(note, &account_key(0))], vec![Output { value, pk }]).transaction
}

/// Blocks on the chain, each of which breaks a rule; one of them forks off below the LIB.
fn bad_blocks(chain: &Chain) -> Vec<Block> {
    let slot = chain.slot() + 1;
    let make = |transactions| chain.make(&leader(0), slot, transactions).unwrap();
    let signed = |change: &dyn Fn(&mut Block)| {
        let mut block = make(vec![payment(100)]);
        change(&mut block);
        block.signature = leader(0).sign(&block.id().0);
        block
    };
    vec![
        Block { signature: leader(1).sign(&make(vec![]).id().0), ..make(vec![]) },
        signed(&|block| block.header.slot = slot + 1),
        signed(&|block| block.header.slot = u64::MAX),
        signed(&|block| block.header.slot = 1),
        signed(&|block| block.header.parent_block = HeaderId([7; 32])),
        signed(&|block| block.header.parent_block = chain.genesis()),
        signed(&|block| block.header.proof_of_leadership.proof[3] ^= 1),
        signed(&|block| block.header.proof_of_leadership.leader_key = leader(2).public()),
        signed(&|block| block.header.proof_of_leadership.public.total_stake += 1),
        signed(&|block| block.transactions.clear()),
        make(vec![payment(7)]),
        make(vec![payment(100), payment(100)]),
    ]
}

#[tokio::test]
async fn only_what_keeps_the_rules_is_passed_on() {
    Between::run(async |mut both| {
        let [blocks, transactions] =
            [&both.one.topics.blocks, &both.one.topics.transactions].map(IdentTopic::hash);
        let mut chain = Chain::new(&settings());
        let mut passed_on = Vec::new();
        both.until("the node listens", |both| both.one.listeners == 3 && both.other.listeners == 3).await;
        for slot in 1..=6 {
            let block = Arc::new(chain.make(&leader(0), slot, vec![]).unwrap());
            chain.add(block.clone(), LATEST).unwrap();
            passed_on.push(both.pass(blocks.clone(), &*block).await);
        }
        for block in bad_blocks(&chain) {
            both.one.say(blocks.clone(), json(&block));
        }
        both.one.say(blocks.clone(), "{\"header\":{".to_owned());
        both.one.say(transactions.clone(), json(&payment(7)));
        both.one.say(transactions.clone(), json(&chain.genesis()));
        passed_on.push(both.pass(transactions, &payment(100)).await);
        passed_on.push(both.pass(blocks, &chain.make(&leader(0), 7, vec![payment(100)]).unwrap()).await);
        assert_eq!(both.other.heard, passed_on);
    })
    .await;
}

#[tokio::test]
async fn peers_are_told_of_transactions_whose_blocks_are_abandoned() {
    Between::run(async |mut both| {
        let blocks = both.one.topics.blocks.hash();
        both.until("the node listens", |both| both.one.listeners == 3 && both.other.listeners == 3).await;
        let mut chain = Chain::new(&settings());
        let abandoned = chain.make(&leader(0), 1, vec![payment(100)]).unwrap();
        both.pass(blocks.clone(), &abandoned).await;
        for slot in 2..=3 {
            let block = Arc::new(chain.make(&leader(0), slot, vec![]).unwrap());
            chain.add(block.clone(), LATEST).unwrap();
            both.pass(blocks.clone(), &*block).await;
        }
        let told = [payment(100).id()];
        both.until("both are told", |both| both.one.told == told && both.other.told == told).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_peer_abandoned_is_passed_on() {
    Between::run(async |mut both| {
        both.until("the node listens", |both| both.one.listeners == 3 && both.other.listeners == 3).await;
        let node = *both.one.swarm.connected_peers().next().unwrap();
        let told = Question::Abandoned(vec![Arc::new(payment(7)), Arc::new(payment(100))]);
        both.one.swarm.behaviour_mut().questions.send_request(&node, told);
        both.until("the other hears it", |both| !both.other.heard.is_empty()).await;
        assert_eq!(both.other.heard, [json(&payment(100))]);
    })
    .await;
}

/// A name server with much to do is asked no more often the longer it takes.
#[tokio::test]
async fn peers_are_looked_up_once_until_there_is_an_answer() {
    let at = |index: u8| Peer { address: format!("relay:{index}"), public_key: leader(index).public() };
    let settings = Settings { peers: [10, 11, 12].map(at).to_vec(), ..settings() };
    let (told, mut come) = unbounded_channel();
    let state = Shared::load(&settings, told.clone(), Spans::default()).unwrap();
    let mut node = Network::new(&settings, state, told).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (answer, answered) = watch::channel(false);
    node.names = Arc::new(Names::by(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        let mut answered = answered.clone();
        async move {
            drop(answered.wait_for(|answered| *answered).await);
            Err(io::Error::other("there is no such host"))
        }
        .boxed()
    }));
    for _ in 0..100 {
        node.dial();
        tokio::task::yield_now().await;
    }
    assert_eq!((asked.load(Ordering::Relaxed), node.sought.len(), come.len()), (1, 3, 0));
    answer.send_replace(true);
    for _ in 0..3 {
        let Some(later @ Later::Dial(..)) = come.recv().await else { panic!("something else came") };
        node.on_later(later);
    }
    assert!(node.sought.is_empty(), "they are looked for anew");
}
