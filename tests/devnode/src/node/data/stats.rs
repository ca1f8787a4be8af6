//! Who is connected, who is blocked, and who did not do as asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use libp2p::PeerId;
use serde_json::{Value, json};

use super::members::Members;

#[derive(Default)]
pub(super) struct Stats {
    /// And whether this node dialled them.
    connected: HashMap<PeerId, bool>,
    blocked: BTreeSet<PeerId>,
    answers: HashMap<PeerId, Answers>,
}

/// What a member answered when it was asked for its share.
#[derive(Clone, Copy, Default)]
struct Answers {
    asked: u32,
    failed: u32,
}

impl Stats {
    pub(super) fn connected(&mut self, peer: PeerId, is_dialled: bool) {
        self.connected.insert(peer, is_dialled);
    }

    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        self.connected.remove(peer);
    }

    /// Whether the peer can be asked and may be answered.
    pub(super) fn is_near(&self, peer: &PeerId) -> bool {
        self.connected.contains_key(peer) && !self.is_blocked(peer)
    }

    /// All such peers.
    pub(super) fn near(&self) -> impl Iterator<Item = PeerId> {
        self.connected.keys().copied().filter(|peer| !self.is_blocked(peer))
    }

    pub(super) fn is_blocked(&self, peer: &PeerId) -> bool {
        self.blocked.contains(peer)
    }

    /// Whether it was not blocked before.
    pub(super) fn block(&mut self, peer: PeerId) -> bool {
        self.blocked.insert(peer)
    }

    /// Whether it was blocked.
    pub(super) fn unblock(&mut self, peer: &PeerId) -> bool {
        self.blocked.remove(peer)
    }

    pub(super) fn blocked(&self) -> Vec<String> {
        self.blocked.iter().map(ToString::to_string).collect()
    }

    pub(super) fn answered(&mut self, peer: PeerId, has_failed: bool) {
        let answers = self.answers.entry(peer).or_default();
        answers.asked += 1;
        answers.failed += u32::from(has_failed);
    }

    /// Of each peer that ever failed, how large a part of its answers did.
    pub(super) fn failures(&self) -> BTreeMap<String, Value> {
        let failed = self.answers.iter().filter(|(_, answers)| answers.failed > 0);
        let rate = |answers: &Answers| f64::from(answers.failed) / f64::from(answers.asked);
        let shown = |(peer, answers): (&PeerId, &Answers)| {
            (peer.to_string(), json!({ "sampling_failures_rate": rate(answers).to_string() }))
        };
        failed.map(shown).collect()
    }

    /// Connections to the members of each subnet, by who opened them.
    pub(super) fn links(&self, members: &Members) -> BTreeMap<String, Value> {
        let links = |(share, peer): (u16, PeerId)| {
            let dialled = self.connected.get(&peer);
            let count = |is_dialled| u32::from(dialled == Some(&is_dialled));
            (share.to_string(), json!({ "inbound": count(false), "outbound": count(true) }))
        };
        members.iter().map(links).collect()
    }
}
