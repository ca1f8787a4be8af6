//! The loop of the node: slots begin, messages arrive, peers come and go.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance};
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, Message};
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Swarm, ping};
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{debug, info};

use super::behaviour::{Behaviour, BehaviourEvent, Topics};
use super::clock::{Clock, sleep};
use super::peers::Peers;
use super::protocol::{self, Answer, Found, Missed, Question};
use super::state::{NetworkInfo, Origin, Received, Shared, Verdicts};
use crate::wire::{Block, HeaderId, SignedTransaction};

const DIAL_EVERY: Duration = Duration::from_millis(700);
/// How often a peer is asked for its tip, should nobody make blocks that tell of it.
const SYNC_EVERY: Duration = Duration::from_secs(10);
const ASK_FOR_PEERS_EVERY: Duration = Duration::from_secs(4);

pub(super) struct Network {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) topics: Topics,
    pub(super) clock: Clock,
    pub(super) state: Shared,
    pub(super) peers: Peers,
    pub(super) delay: RangeInclusive<Duration>,
    /// Peers that were asked for blocks, and what to ask them for next.
    pub(super) asked: HashMap<PeerId, Option<HeaderId>>,
    pub(super) later: UnboundedSender<Later>,
    /// Peers that did not answer a ping. A connection on a cut link cannot be closed: the close waits for the peer.
    pub(super) silent: HashSet<PeerId>,
}

/// What comes back into the loop when its time has come.
pub(super) enum Later {
    Publish(Arc<Block>),
    /// So much is stored of what was saved since the node started.
    Stored(u64),
    Dial(PeerId, SocketAddr),
}

/// Listens; when this returns, peers can connect.
pub(super) async fn listen(swarm: &mut Swarm<Behaviour>, at: SocketAddr) -> io::Result<()> {
    // libp2p would share a port with whoever shares it; a listener that shares with nobody tells.
    drop(std::net::TcpListener::bind(at)?);
    swarm.listen_on(multiaddr(at)).map_err(io::Error::other)?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { .. } => return Ok(()),
            SwarmEvent::ListenerClosed { reason: Err(error), .. }
            | SwarmEvent::ListenerError { error, .. } => {
                return Err(error);
            }
            _ => {}
        }
    }
}

impl Network {
    /// Runs until the process ends.
    pub(super) async fn run(
        mut self,
        mut submitted: UnboundedReceiver<Arc<SignedTransaction>>,
        mut later: UnboundedReceiver<Later>,
    ) {
        let [mut dial, mut sync, mut ask] = [DIAL_EVERY, SYNC_EVERY, ASK_FOR_PEERS_EVERY].map(every);
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
                _ = dial.tick() => self.dial(),
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
            Later::Dial(peer, address) => {
                let options = DialOpts::peer_id(peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .addresses(vec![multiaddr(address)])
                    .allocate_new_port()
                    .build();
                if let Err(error) = self.swarm.dial(options) {
                    debug!(%peer, "not dialled: {error}");
                }
            }
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
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, result: Ok(_), .. }))
                if self.silent.remove(&peer) =>
            {
                self.tell_state();
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, result: Err(error), .. })) => {
                debug!(%peer, "a ping failed: {error}");
                self.silent.insert(peer);
                self.tell_state();
                // An error says that it is disconnected already.
                let _: Result<(), ()> = self.swarm.disconnect_peer_id(peer);
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, num_established, .. } => {
                self.silent.remove(&peer_id);
                self.peers.connected(peer_id, ip(endpoint.get_remote_address()));
                self.tell_state();
                if num_established.get() == 1 {
                    info!(peer = %peer_id, "connected");
                    self.ask(peer_id, None, true);
                    self.ask_for_peers(peer_id);
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                info!(peer = %peer_id, "disconnected");
                self.silent.remove(&peer_id);
                self.peers.disconnected(&peer_id);
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

    fn on_question(&mut self, event: request_response::Event<Question, Answer>) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                Message::Request { request, channel, .. } => {
                    let answer = match request {
                        Question::Missed(missed) => {
                            Answer::Missed(protocol::find(&self.state.lock(), &missed))
                        }
                        Question::Peers(told) => Answer::Peers(self.peers.answer(peer, told)),
                    };
                    // An error says that the peer is gone.
                    drop(self.swarm.behaviour_mut().questions.send_response(channel, answer));
                }
                Message::Response { response: Answer::Missed(found), .. } => self.on_found(peer, found),
                Message::Response { response: Answer::Peers(told), .. } => {
                    self.peers.learn(told);
                    self.dial();
                }
            },
            request_response::Event::OutboundFailure { peer, error, .. } => {
                debug!(%peer, "no answer: {error}");
                self.asked.remove(&peer);
            }
            _ => {}
        }
    }

    /// Asks a peer for blocks, or remembers to do so once it has answered.
    fn ask(&mut self, peer: PeerId, target: Option<HeaderId>, pending: bool) {
        if !self.peers.is_connected(&peer) {
            return;
        }
        if let Some(next) = self.asked.get_mut(&peer) {
            *next = target.or(*next);
            return;
        }
        self.asked.insert(peer, None);
        let locator = self.state.lock().chain.locator();
        self.send(peer, Missed { locator, target, pending });
    }

    fn send(&mut self, peer: PeerId, missed: Missed) {
        self.swarm.behaviour_mut().questions.send_request(&peer, Question::Missed(missed));
    }

    fn on_found(&mut self, peer: PeerId, found: Found) {
        let last = found.blocks.last().map(|block| block.id());
        let mut usable = true;
        for block in found.blocks {
            let received = self.receive(block, None);
            usable &= received.is_known;
        }
        for transaction in found.pending {
            let transaction = Arc::unwrap_or_clone(transaction);
            let verdicts = self.state.lock().receive_transaction(transaction, None);
            self.decide(verdicts);
        }
        let next = self.asked.remove(&peer).flatten();
        if let Some(last) = last.filter(|_| found.more && usable) {
            self.asked.insert(peer, next);
            let mut locator = vec![last];
            locator.extend(self.state.lock().chain.locator());
            return self.send(peer, Missed { locator, target: None, pending: true });
        }
        if !found.more {
            self.state.lock().go_online();
        }
        if let Some(next) = next.filter(|next| !self.state.lock().chain.contains(next)) {
            self.ask(peer, Some(next), false);
        }
    }

    fn ask_for_peers(&mut self, peer: PeerId) {
        if let Some(own) = self.peers.own() {
            self.swarm.behaviour_mut().questions.send_request(&peer, Question::Peers(own));
        }
    }

    /// Dials who is absent. Names are looked up beside the loop.
    fn dial(&mut self) {
        for (peer, address) in self.peers.choose_absent() {
            let later = self.later.clone();
            tokio::spawn(async move {
                let found = tokio::net::lookup_host(&address).await.map(|mut found| found.next());
                match found {
                    // An error says that the node ends.
                    Ok(Some(address)) => drop(later.send(Later::Dial(peer, address))),
                    Ok(None) => debug!(%peer, "not dialled: {address} has no address"),
                    Err(error) => debug!(%peer, "not dialled: {address}: {error}"),
                }
            });
        }
    }

    fn tell_state(&mut self) {
        let info = self.swarm.network_info();
        let counters = info.connection_counters();
        self.state.lock().network = NetworkInfo {
            listen_addresses: self.swarm.listeners().map(ToString::to_string).collect(),
            n_peers: self.swarm.connected_peers().filter(|peer| !self.silent.contains(peer)).count(),
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

fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

fn ip(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    })
}
