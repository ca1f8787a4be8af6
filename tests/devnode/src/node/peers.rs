//! Whom to dial, and when.
//!
//! Configured peers are dialled until they are connected, for ever; who configures a link dials it, and the other
//! side waits. With discovery a node also asks its peers for addresses and dials some of these, so that it hears
//! the chain while a middle node is down: from a pair that learnt of each other the one with the lesser id dials,
//! unless the other is nearly alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use libp2p::PeerId;
use rand::RngExt as _;
use rand::seq::IteratorRandom as _;
use rand_chacha::ChaCha8Rng;

use super::behaviour::peer_id;
use super::protocol::Address;
use crate::config::Settings;

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
    /// With the address that each was last seen at.
    connected: HashMap<PeerId, Option<IpAddr>>,
    rng: ChaCha8Rng,
}

impl Peers {
    pub(super) fn new(settings: &Settings, me: PeerId, rng: ChaCha8Rng) -> Self {
        let peers = settings.peers.iter();
        let configured = peers.filter_map(|peer| Some((peer_id(&peer.public_key)?, peer.address.clone())));
        Self {
            me,
            own: Address { public_key: settings.node_key.public(), address: settings.listen },
            discovery: settings.discovery,
            configured: configured.filter(|(peer, _)| *peer != me).collect(),
            learnt: BTreeMap::new(),
            connected: HashMap::new(),
            rng,
        }
    }

    pub(super) fn connected(&mut self, peer: PeerId, from: Option<IpAddr>) {
        self.connected.insert(peer, from);
    }

    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        self.connected.remove(peer);
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
        let (count, me) = (self.connected.len(), self.me);
        if self.discovery && count < ENOUGH {
            let configured: HashSet<_> = self.configured.iter().map(|(peer, _)| peer).collect();
            let learnt = self.learnt.iter().filter(|(peer, _)| {
                absent(peer) && !configured.contains(peer) && (me < **peer || count < FEW)
            });
            let some = learnt.sample(&mut self.rng, AT_A_TIME);
            dial.extend(some.into_iter().map(|(peer, address)| (*peer, address.address.to_string())));
        }
        dial
    }

    /// What this node tells of itself when it asks for addresses; `None` without discovery.
    pub(super) fn own(&self) -> Option<Address> {
        self.discovery.then(|| self.own.clone())
    }

    /// Answers a peer that told where it is.
    pub(super) fn answer(&mut self, peer: PeerId, mut told: Address) -> Vec<Address> {
        if !self.discovery {
            return Vec::new();
        }
        if told.address.ip().is_unspecified()
            && let Some(Some(ip)) = self.connected.get(&peer)
        {
            told.address.set_ip(*ip);
        }
        if peer_id(&told.public_key) == Some(peer) {
            self.learn(vec![told]);
        }
        let others =
            self.learnt.iter().filter(|(other, _)| **other != peer).map(|(_, address)| address.clone());
        others.sample(&mut self.rng, MAX_TOLD)
    }

    /// Remembers what was told.
    pub(super) fn learn(&mut self, told: Vec<Address>) {
        if !self.discovery {
            return;
        }
        for address in told {
            let Some(peer) = peer_id(&address.public_key).filter(|peer| *peer != self.me) else { continue };
            if is_usable(&address.address)
                && (self.learnt.len() < MAX_LEARNT || self.learnt.contains_key(&peer))
            {
                self.learnt.insert(peer, address);
            }
        }
    }
}

fn is_usable(address: &SocketAddr) -> bool {
    !address.ip().is_unspecified() && address.port() != 0
}
