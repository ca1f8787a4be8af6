//! Whom to dial, and when.
//!
//! Configured peers are dialled until they are connected, for ever; who configures a link dials it, and the other
//! side waits. With discovery a node also asks its peers for addresses and dials some of these, so that it hears
//! the chain while a middle node is down: from a pair that learnt of each other the one with the lesser id dials,
//! unless the other is nearly alone. What it learnt is stored, and peers that it lost are dialled again: a node that
//! starts while its middle node is down has no other way to the chain.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use libp2p::PeerId;
use rand::RngExt as _;
use rand::seq::IteratorRandom as _;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use super::behaviour::peer_id;
use super::protocol::Address;
use crate::config::Settings;

/// How long it may take to connect. While a link is cut the next attempt comes that much later.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(4);
/// How long a peer may leave every ping without an answer.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(8);

/// With discovery a node dials until it has this many peers,
const ENOUGH: usize = 6;
/// and with less than this it does not wait to be dialled.
const FEW: usize = 3;
/// How many learnt peers are dialled at a time.
const AT_A_TIME: usize = 2;
const MAX_LEARNT: usize = 1_000;
const MAX_TOLD: usize = 64;

pub(super) struct Peers {
    me: PeerId,
    own: Address,
    discovery: bool,
    configured: Vec<(PeerId, String)>,
    learnt: BTreeMap<PeerId, Address>,
    connected: HashMap<PeerId, Connected>,
    /// Learnt peers that were connected, and when they went.
    lost: HashMap<PeerId, Instant>,
    rng: ChaCha8Rng,
}

struct Connected {
    /// The address that it was last seen at.
    from: Option<IpAddr>,
    since: Instant,
    heard: Instant,
}

impl Peers {
    /// `learnt` is what the node remembers of earlier runs.
    pub(super) fn new(settings: &Settings, me: PeerId, learnt: Vec<Address>) -> Self {
        let peers = settings.peers.iter();
        let configured = peers.filter_map(|peer| Some((peer_id(&peer.public_key)?, peer.address.clone())));
        let mut peers = Self {
            me,
            own: Address { public_key: settings.node_key.public(), address: settings.listen },
            discovery: settings.discovery,
            configured: configured.filter(|(peer, _)| *peer != me).collect(),
            learnt: BTreeMap::new(),
            connected: HashMap::new(),
            lost: HashMap::new(),
            rng: rand::make_rng(),
        };
        peers.learn(learnt);
        peers
    }

    /// A peer has connected. Returns whether it has lost an earlier connection that this node still has; two that
    /// dialled each other at once have lost none.
    pub(super) fn connected(&mut self, peer: PeerId, from: Option<IpAddr>) -> bool {
        let now = Instant::now();
        let earlier = self.connected.get(&peer).map(|connected| connected.since);
        let since = earlier.unwrap_or(now);
        self.connected.insert(peer, Connected { from, since, heard: now });
        self.lost.remove(&peer);
        now - since > CONNECT_WITHIN
    }

    /// A peer has answered a ping.
    pub(super) fn heard(&mut self, peer: &PeerId) {
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.heard = Instant::now();
        }
    }

    /// The connected peers of whom nothing was heard for [`SILENT_AFTER`]. A cut link tells nobody that it is cut.
    pub(super) fn silent(&self) -> Vec<PeerId> {
        let silent = self.connected.iter().filter(|(_, connected)| connected.heard.elapsed() > SILENT_AFTER);
        silent.map(|(peer, _)| *peer).collect()
    }

    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        self.connected.remove(peer);
        if self.learnt.contains_key(peer) {
            self.lost.insert(*peer, Instant::now());
        }
    }

    pub(super) fn is_connected(&self, peer: &PeerId) -> bool {
        self.connected.contains_key(peer)
    }

    /// Any of the connected peers.
    pub(super) fn any(&mut self) -> Option<PeerId> {
        self.connected.keys().copied().choose(&mut self.rng)
    }

    /// A fraction of a span, for what must not happen everywhere at once.
    pub(super) fn fraction(&mut self) -> f64 {
        self.rng.random_range(0.0..=1.0)
    }

    /// Whom to dial now.
    pub(super) fn choose_absent(&mut self) -> Vec<(PeerId, String)> {
        let absent = |peer: &PeerId| !self.connected.contains_key(peer);
        let mut dial: Vec<_> = self.configured.iter().filter(|(peer, _)| absent(peer)).cloned().collect();
        let configured: HashSet<_> = self.configured.iter().map(|(peer, _)| peer).collect();
        let learnt: Vec<_> = self
            .learnt
            .iter()
            .filter(|(peer, _)| absent(peer) && !configured.contains(peer) && self.is_to_be_dialled(peer))
            .collect();
        let some = learnt.into_iter().sample(&mut self.rng, AT_A_TIME);
        dial.extend(some.into_iter().map(|(peer, address)| (*peer, address.address.to_string())));
        dial
    }

    /// Whether this node dials a learnt peer.
    fn is_to_be_dialled(&self, peer: &PeerId) -> bool {
        let (count, goes_first) = (self.connected.len(), self.me < *peer);
        let is_missed = match self.lost.get(peer) {
            Some(since) => goes_first || since.elapsed() > CONNECT_WITHIN,
            None => goes_first && count < ENOUGH,
        };
        is_missed || count < FEW
    }

    /// What this node tells of itself when it asks for addresses; `None` without discovery.
    pub(super) fn own(&self) -> Option<Address> {
        self.discovery.then(|| self.own.clone())
    }

    /// Answers a peer that told where it is.
    pub(super) fn answer(&mut self, peer: PeerId) -> Vec<Address> {
        let others =
            self.learnt.iter().filter(|(other, _)| **other != peer).map(|(_, address)| address.clone());
        others.sample(&mut self.rng, MAX_TOLD)
    }

    /// Remembers where a peer is that told so itself. Returns what was not known before.
    pub(super) fn learn_from(&mut self, peer: PeerId, mut told: Address) -> Vec<Address> {
        if told.address.ip().is_unspecified()
            && let Some(ip) = self.connected.get(&peer).and_then(|connected| connected.from)
        {
            told.address.set_ip(ip);
        }
        if peer_id(&told.public_key) == Some(peer) { self.learn(vec![told]) } else { Vec::new() }
    }

    /// Remembers what was told. Returns what was not known before.
    pub(super) fn learn(&mut self, mut told: Vec<Address>) -> Vec<Address> {
        told.retain(|address| {
            let Some(peer) = peer_id(&address.public_key).filter(|peer| *peer != self.me) else {
                return false;
            };
            let has_room = self.learnt.len() < MAX_LEARNT || self.learnt.contains_key(&peer);
            self.discovery
                && is_usable(&address.address)
                && has_room
                && self.learnt.insert(peer, address.clone()).as_ref() != Some(address)
        });
        told
    }
}

fn is_usable(address: &SocketAddr) -> bool {
    !address.ip().is_unspecified() && address.port() != 0
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::chain::tests::settings;

    fn peers() -> Peers {
        Peers::new(&settings(), PeerId::random(), Vec::new())
    }

    #[tokio::test(start_paused = true)]
    async fn who_connects_again_has_lost_the_first_connection() {
        let (mut peers, peer) = (peers(), PeerId::random());
        assert!(!peers.connected(peer, None));
        advance(CONNECT_WITHIN / 2).await;
        assert!(!peers.connected(peer, None), "both dialled at once");
        advance(CONNECT_WITHIN).await;
        assert!(peers.connected(peer, None));
        peers.disconnected(&peer);
        assert!(!peers.connected(peer, None));
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_no_ping_is_silent() {
        let mut peers = peers();
        let [silent, heard] = [PeerId::random(), PeerId::random()];
        for peer in [silent, heard] {
            peers.connected(peer, None);
        }
        advance(SILENT_AFTER).await;
        assert_eq!(peers.silent(), []);
        peers.heard(&heard);
        advance(SILENT_AFTER / 2).await;
        assert_eq!(peers.silent(), [silent]);
    }
}
