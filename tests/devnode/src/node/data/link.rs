//! What the node's loop does for data: it sends, and hands out what comes.

use std::collections::HashMap;

use libp2p::request_response::{Event, Message, OutboundRequestId, ResponseChannel};
use libp2p::{PeerId, Swarm};
use tokio::sync::oneshot;
use tracing::debug;

use super::Data;
use super::messages::{Found, Query};
use crate::node::behaviour::{Behaviour, Topics};

/// What the loop is to do.
pub(in crate::node) enum Order {
    /// Ask a peer. Without an answer the reply is dropped.
    Ask { peer: PeerId, query: Query, reply: oneshot::Sender<Found> },
    /// Answer a peer.
    Answer { to: ResponseChannel<Found>, found: Found },
    /// Tell everybody.
    Say(Vec<u8>),
}

/// Questions that are on their way.
#[derive(Default)]
pub(in crate::node) struct Link {
    asked: HashMap<OutboundRequestId, oneshot::Sender<Found>>,
}

impl Link {
    pub(in crate::node) fn obey(&mut self, swarm: &mut Swarm<Behaviour>, topics: &Topics, order: Order) {
        match order {
            // Who is not connected would be dialled.
            Order::Ask { peer, .. } if !swarm.is_connected(&peer) => {}
            Order::Ask { peer, query, reply } => {
                self.asked.insert(swarm.behaviour_mut().data.send_request(&peer, query), reply);
            }
            // An error says that the peer is gone.
            Order::Answer { to, found } => drop(swarm.behaviour_mut().data.send_response(to, found)),
            Order::Say(message) => {
                if let Err(error) = swarm.behaviour_mut().gossip.publish(topics.data.clone(), message) {
                    debug!("not said: {error}");
                }
            }
        }
    }

    pub(in crate::node) fn on_event(&mut self, data: &Data, event: Event<Query, Found>) {
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                let data = data.clone();
                tokio::spawn(async move {
                    let found = data.answer(peer, request).await;
                    data.order(Order::Answer { to: channel, found });
                });
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                if let Some(reply) = self.asked.remove(&request_id) {
                    // An error says that nobody waits any more.
                    drop(reply.send(response));
                }
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                debug!(%peer, "no answer about data: {error}");
                self.asked.remove(&request_id);
            }
            Event::InboundFailure { .. } | Event::ResponseSent { .. } => {}
        }
    }
}
