//! What is asked of peers and answered to them: blocks that somebody missed, and where others are.

use std::sync::Arc;

use libp2p::PeerId;
use libp2p::request_response::{self, Message};
use tracing::debug;

use super::Network;
use crate::node::protocol::{self, Answer, Found, Missed, Question};
use crate::wire::{HeaderId, SignedTransaction};

impl Network {
    pub(super) fn on_question(&mut self, event: request_response::Event<Question, Answer>) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                Message::Request { request, channel, .. } => {
                    let answer = match request {
                        Question::Missed(missed) => {
                            Answer::Missed(protocol::find(&self.state.lock(), &missed))
                        }
                        Question::Peers(told) => {
                            let learnt = self.peers.learn_from(peer, told);
                            self.state.lock().remember(learnt);
                            Answer::Peers(self.peers.answer(peer))
                        }
                        Question::Abandoned(transactions) => {
                            transactions.into_iter().for_each(|transaction| self.on_abandoned(transaction));
                            Answer::Heard
                        }
                    };
                    // An error says that the peer is gone.
                    drop(self.swarm.behaviour_mut().questions.send_response(channel, answer));
                }
                Message::Response { response: Answer::Missed(found), .. } => self.on_found(peer, found),
                Message::Response { response: Answer::Peers(told), .. } => {
                    let learnt = self.peers.learn(told);
                    self.state.lock().remember(learnt);
                    self.dial();
                }
                Message::Response { response: Answer::Heard, .. } => {}
            },
            request_response::Event::OutboundFailure { peer, error, .. } => {
                debug!(%peer, "no answer: {error}");
                self.asked.remove(&peer);
            }
            _ => {}
        }
    }

    /// Asks a peer for blocks, or remembers to do so once it has answered.
    pub(super) fn ask(&mut self, peer: PeerId, target: Option<HeaderId>, pending: bool) {
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
            // Nobody gossiped it who waits for a verdict.
            let _ = self.state.lock().receive_transaction(transaction, None);
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

    /// Tells all peers of transactions of a block that this node abandoned: a gossip passes no message twice.
    pub(super) fn tell_abandoned(&mut self, transactions: &[Arc<SignedTransaction>]) {
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let told = Question::Abandoned(transactions.to_vec());
            self.swarm.behaviour_mut().questions.send_request(&peer, told);
        }
    }

    /// A peer told of a transaction whose block it abandoned. Who has never heard of it passes it on.
    fn on_abandoned(&mut self, transaction: Arc<SignedTransaction>) {
        let id = transaction.id();
        let is_new = {
            let mut state = self.state.lock();
            let was_pending = state.mempool.contains(&id);
            let _ = state.receive_transaction(transaction.clone(), None);
            !was_pending && state.mempool.contains(&id)
        };
        if is_new {
            self.publish(&self.topics.transactions.clone(), &transaction);
        }
    }

    pub(super) fn ask_for_peers(&mut self, peer: PeerId) {
        if let Some(own) = self.peers.own() {
            self.swarm.behaviour_mut().questions.send_request(&peer, Question::Peers(own));
        }
    }
}
