//! The loop of the node: slots begin, messages arrive, peers come and go.

mod links;
mod questions;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance};
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, Swarm, ping};
use logos_scenario_runtime::names::Names;
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tracing::{debug, info};

use self::links::ip;
use super::behaviour::{Behaviour, BehaviourEvent, Topics, swarm};
use super::clock::{Clock, sleep};
use super::data::{Data, Link, Order};
use super::peers::Peers;
use super::state::{NetworkInfo, Origin, Received, Shared, Verdicts};
use crate::config::Settings;
use crate::wire::{Block, HeaderId, SignedTransaction};

/// How often who is absent is dialled: the nodes of a cluster start together, so a young node dials more often, again
/// when it is a quarter older.
const DIAL_EVERY: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_millis(700);
/// How often a peer is asked for its tip, should nobody make blocks that tell of it.
const SYNC_EVERY: Duration = Duration::from_secs(10);
const ASK_FOR_PEERS_EVERY: Duration = Duration::from_secs(4);

pub(super) struct Network {
    swarm: Swarm<Behaviour>,
    topics: Topics,
    clock: Clock,
    state: Shared,
    peers: Peers,
    /// Peers whose address is being looked up.
    sought: HashSet<PeerId>,
    names: Arc<Names>,
    at: SocketAddr,
    delay: RangeInclusive<Duration>,
    /// Peers that were asked for blocks, and what to ask them for next.
    asked: HashMap<PeerId, Option<HeaderId>>,
    later: UnboundedSender<Later>,
    data: Data,
    link: Link,
}

/// What comes back into the loop when its time has come.
pub(super) enum Later {
    Publish(Arc<Block>),
    /// So much is stored of what was saved since the node started.
    Stored(u64),
    /// Where a peer is, or why that is not known.
    Dial(PeerId, Result<SocketAddr, String>),
    Data(Order),
    /// Some blob is available.
    Sampled,
    /// A block with these transactions was abandoned.
    Abandoned(Vec<Arc<SignedTransaction>>),
}

impl Network {
    /// A node of the network that `settings` describe. It hears nothing yet.
    pub(super) fn new(
        settings: &Settings,
        state: Shared,
        later: UnboundedSender<Later>,
    ) -> Result<Self, String> {
        let (genesis, data, learnt) = {
            let mut state = state.lock();
            (state.chain.genesis(), state.data.clone(), std::mem::take(&mut state.learnt))
        };
        let topics = Topics::new(genesis);
        let swarm = swarm(&settings.node_key, genesis, &topics).map_err(|error| error.to_string())?;
        Ok(Self {
            peers: Peers::new(settings, *swarm.local_peer_id(), learnt),
            swarm,
            topics,
            clock: Clock::new(settings.start_time, settings.slot),
            data,
            link: Link::default(),
            state,
            sought: HashSet::new(),
            names: Arc::default(),
            at: settings.listen,
            delay: settings.delay.clone(),
            asked: HashMap::new(),
            later,
        })
    }

    /// Runs until the process ends.
    pub(super) async fn run(
        mut self,
        mut submitted: UnboundedReceiver<Arc<SignedTransaction>>,
        mut later: UnboundedReceiver<Later>,
    ) {
        let [mut dial, mut sync, mut ask] = [*DIAL_EVERY.end(), SYNC_EVERY, ASK_FOR_PEERS_EVERY].map(every);
        let began = Instant::now();
        let mut slot = 0;
        self.tell_state();
        loop {
            let clock = self.clock;
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                begun = clock.after(slot) => {
                    slot = begun;
                    self.state.lock().begin_slot(slot);
                }
                Some(transaction) = submitted.recv() => self.publish(&self.topics.transactions.clone(), &transaction),
                Some(later) = later.recv() => self.on_later(later),
                _ = dial.tick() => {
                    self.renew();
                    dial.reset_after((began.elapsed() / 4).clamp(*DIAL_EVERY.start(), *DIAL_EVERY.end()));
                }
                _ = sync.tick() => if let Some(peer) = self.peers.any() { self.ask(peer, None, false) },
                _ = ask.tick() => if let Some(peer) = self.peers.any() { self.ask_for_peers(peer) },
            }
        }
    }

    fn on_stored(&mut self, count: u64) {
        let released = self.state.lock().stored(count);
        self.decide(released.verdicts);
        for block in released.made {
            self.send_block(block);
        }
    }

    /// Sends a block of this node, now or as much later as is asked for.
    fn send_block(&mut self, block: Arc<Block>) {
        let (min, max) = (*self.delay.start(), *self.delay.end());
        if max.is_zero() {
            return self.publish(&self.topics.blocks.clone(), &block);
        }
        let wait = min + (max - min).mul_f64(self.peers.fraction());
        let later = self.later.clone();
        tokio::spawn(async move {
            sleep(wait).await;
            // An error says that the node ends.
            drop(later.send(Later::Publish(block)));
        });
    }

    fn on_later(&mut self, later: Later) {
        match later {
            Later::Publish(block) => self.publish(&self.topics.blocks.clone(), &block),
            Later::Stored(count) => self.on_stored(count),
            Later::Data(order) => self.link.obey(&mut self.swarm, &self.topics, order),
            Later::Sampled => {
                let verdicts = self.state.lock().sampled();
                self.decide(verdicts);
            }
            Later::Dial(peer, found) => self.dial_at(peer, found),
            Later::Abandoned(transactions) => self.tell_abandoned(&transactions),
        }
    }

    fn publish(&mut self, topic: &IdentTopic, message: &impl Serialize) {
        let data = serde_json::to_vec(message).expect("messages are plain data");
        // Without peers nobody hears it now; who connects later asks for it.
        if let Err(error) = self.swarm.behaviour_mut().gossip.publish(topic.clone(), data) {
            debug!("not published: {error}");
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            })) => {
                let origin = Origin { message: message_id, peer: propagation_source };
                self.on_gossip(origin, &message);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Questions(event)) => self.on_question(event),
            SwarmEvent::Behaviour(BehaviourEvent::Data(event)) => self.link.on_event(&self.data, event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, result: Ok(_), .. })) => {
                self.peers.heard(&peer);
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, num_established, .. } => {
                self.data.connected(peer_id, endpoint.is_dialer());
                let has_lost_one = self.peers.connected(peer_id, ip(endpoint.get_remote_address()));
                self.tell_state();
                if has_lost_one {
                    self.disconnect(peer_id);
                } else if num_established.get() == 1 {
                    info!(peer = %peer_id, "connected");
                    self.ask(peer_id, None, true);
                    self.ask_for_peers(peer_id);
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                info!(peer = %peer_id, "disconnected");
                self.peers.disconnected(&peer_id);
                self.data.disconnected(&peer_id);
                self.asked.remove(&peer_id);
                self.tell_state();
            }
            SwarmEvent::ConnectionClosed { .. }
            | SwarmEvent::NewListenAddr { .. }
            | SwarmEvent::ExpiredListenAddr { .. } => self.tell_state(),
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                debug!(peer = ?peer_id, "could not connect: {error}");
                self.tell_state();
            }
            _ => {}
        }
    }

    fn on_gossip(&mut self, origin: Origin, message: &gossipsub::Message) {
        if message.topic == self.topics.blocks.hash() {
            match serde_json::from_slice::<Block>(&message.data) {
                Ok(block) => {
                    let peer = origin.peer;
                    let received = self.receive(Arc::new(block), Some(origin));
                    if let Some(missing) = received.missing {
                        self.ask(peer, Some(missing), false);
                    }
                }
                Err(error) => self.refuse(origin, &error),
            }
        } else if message.topic == self.topics.data.hash() {
            let verdict = self.data.hear(&message.data);
            self.decide(vec![(origin, verdict)]);
        } else {
            match serde_json::from_slice(&message.data) {
                Ok(transaction) => {
                    let verdicts = self.state.lock().receive_transaction(transaction, Some(origin));
                    self.decide(verdicts);
                }
                Err(error) => self.refuse(origin, &error),
            }
        }
    }

    fn receive(&mut self, block: Arc<Block>, origin: Option<Origin>) -> Received {
        let mut received = self.state.lock().receive_block(block, origin, self.clock.latest());
        self.decide(std::mem::take(&mut received.verdicts));
        received
    }

    fn refuse(&mut self, origin: Origin, error: &serde_json::Error) {
        debug!(peer = %origin.peer, "refused a message: {error}");
        self.decide(vec![(origin, MessageAcceptance::Reject)]);
    }

    fn decide(&mut self, verdicts: Verdicts) {
        for (Origin { message, peer }, verdict) in verdicts {
            self.swarm.behaviour_mut().gossip.report_message_validation_result(&message, &peer, verdict);
        }
    }

    fn tell_state(&mut self) {
        let info = self.swarm.network_info();
        let counters = info.connection_counters();
        self.state.lock().network = NetworkInfo {
            listen_addresses: self.swarm.listeners().map(ToString::to_string).collect(),
            n_peers: self.swarm.connected_peers().count(),
            n_connections: counters.num_established(),
            n_pending_connections: counters.num_pending(),
        };
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

#[cfg(test)]
mod tests;
