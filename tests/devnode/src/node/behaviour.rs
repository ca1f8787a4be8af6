//! What nodes say on their connections: gossip, questions and pings.

use std::time::Duration;

use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode};
use libp2p::identity::{self, Keypair, ed25519};
use libp2p::request_response::{self, ProtocolSupport, cbor, json};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{PeerId, StreamProtocol, Swarm, SwarmBuilder, ping};

use super::data::{Found, Query};
use super::peers::{CONNECT_WITHIN, SILENT_AFTER};
use super::protocol::{Answer, Question};
use super::transport::transport;
use crate::keys::SecretKey;
use crate::wire::{Hasher, HeaderId, PublicKey};

/// JSON is about four times as long as what [`crate::chain::MAX_BLOCK_WEIGHT`] counts.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(2);
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// There is no identify: nothing here needs it, and what it tells leads around relayed links.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) gossip: gossipsub::Behaviour,
    pub(super) questions: json::Behaviour<Question, Answer>,
    pub(super) data: cbor::Behaviour<Query, Found>,
    pub(super) ping: ping::Behaviour,
}

/// The topics of one chain: nodes of different chains do not hear each other.
pub(super) struct Topics {
    pub(super) blocks: IdentTopic,
    pub(super) transactions: IdentTopic,
    pub(super) data: IdentTopic,
}

impl Topics {
    pub(super) fn new(genesis: HeaderId) -> Self {
        let topic = |name| IdentTopic::new(format!("/devnode/{genesis}/{name}"));
        Self { blocks: topic("blocks"), transactions: topic("transactions"), data: topic("data") }
    }
}

pub(super) fn swarm(
    key: &SecretKey,
    genesis: HeaderId,
    topics: &Topics,
) -> Result<Swarm<Behaviour>, Box<dyn std::error::Error>> {
    let mut gossip = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, gossip_config()?)?;
    gossip.subscribe(&topics.blocks)?;
    gossip.subscribe(&topics.transactions)?;
    gossip.subscribe(&topics.data)?;
    let protocol = |name| {
        let protocol = StreamProtocol::try_from_owned(format!("/devnode/{genesis}/{name}"));
        protocol.map(|protocol| [(protocol, ProtocolSupport::Full)])
    };
    let config = request_response::Config::default().with_request_timeout(ANSWER_WITHIN);
    let codec = json::codec::Codec::default().set_request_size_maximum(MAX_MESSAGE as u64);
    let questions = json::Behaviour::with_codec(codec, protocol("questions")?, config.clone());
    let data = cbor::Behaviour::new(protocol("shares")?, config);
    let ping = ping::Behaviour::new(ping::Config::new().with_interval(PING_EVERY).with_timeout(SILENT_AFTER));
    let behaviour = Behaviour { gossip, questions, data, ping };
    let identity = keypair(key)?;
    let transport = transport(&identity)?;
    let swarm = SwarmBuilder::with_existing_identity(identity)
        .with_tokio()
        .with_other_transport(|_| transport)?
        .with_behaviour(|_| behaviour)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(FOR_EVER))
        .with_connection_timeout(CONNECT_WITHIN)
        .build();
    Ok(swarm)
}

/// The mesh is measured for stars of up to 100 nodes: everybody hears a block within its slot.
fn gossip_config() -> Result<gossipsub::Config, gossipsub::ConfigBuilderError> {
    let content = |message: &gossipsub::Message| {
        let mut hasher = Hasher::new("gossip");
        hasher.bytes(message.topic.as_str().as_bytes());
        hasher.raw(&message.data);
        MessageId::from(hasher.finish().to_vec())
    };
    gossipsub::ConfigBuilder::default()
        .mesh_n_low(3)
        .mesh_n(4)
        .mesh_n_high(8)
        .mesh_outbound_min(1)
        .heartbeat_initial_delay(Duration::from_millis(100))
        .heartbeat_interval(Duration::from_millis(700))
        .flood_publish(true)
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(content)
        .max_transmit_size(MAX_MESSAGE)
        .build()
}

fn keypair(key: &SecretKey) -> Result<Keypair, identity::DecodingError> {
    Keypair::ed25519_from_bytes(key.seed())
}

/// The peer that has this key; `None` where the key is no point of the curve.
pub(super) fn peer_id(key: &PublicKey) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&key.0).ok()?;
    Some(identity::PublicKey::from(key).to_peer_id())
}
