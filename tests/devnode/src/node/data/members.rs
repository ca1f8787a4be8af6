//! Who keeps data: of each blob every member one share, in the order of the configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use libp2p::PeerId;
use serde_json::{Value, json};

use crate::config::Settings;
use crate::data::{Code, FIRST_SESSION};
use crate::node::behaviour::peer_id;
use crate::wire::PublicKey;

pub(super) struct Members {
    members: Vec<(PublicKey, PeerId)>,
    /// The place of this node, if it is one.
    own: Option<u16>,
    /// Of this node and of those that it dials.
    addresses: BTreeMap<PeerId, String>,
}

impl Members {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let key = |(index, key): (usize, &PublicKey)| {
            let peer = peer_id(key).ok_or_else(|| format!("data.members[{index}]: is no public key"))?;
            Ok((*key, peer))
        };
        let members = settings.members.iter().enumerate().map(key).collect::<Result<Vec<_>, String>>()?;
        let me = settings.node_key.public();
        let own = members.iter().position(|(key, _)| *key == me).and_then(|place| u16::try_from(place).ok());
        let configured = settings.peers.iter().map(|peer| (peer.public_key, multiaddr(&peer.address)));
        let addresses = configured.chain([(me, multiaddr(&settings.listen.to_string()))]);
        let addresses = addresses.filter_map(|(key, address)| Some((peer_id(&key)?, address))).collect();
        Ok(Self { members, own, addresses })
    }

    /// How blobs are coded; nothing where nobody keeps data.
    pub(super) fn code(&self) -> Option<Code> {
        (!self.members.is_empty()).then(|| Code::of_members(self.members.len()))
    }

    pub(super) fn count(&self) -> usize {
        self.members.len()
    }

    /// More than half of the members. Where so many keep their shares, as many of these may go as the code makes up
    /// for, less those that have none.
    pub(super) fn most(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// The share that this node keeps of every blob.
    pub(super) fn own(&self) -> Option<u16> {
        self.own
    }

    /// Who keeps a share.
    pub(super) fn keeper(&self, share: u16) -> Option<PeerId> {
        self.members.get(usize::from(share)).map(|(_, peer)| *peer)
    }

    pub(super) fn key(&self, share: u16) -> Option<PublicKey> {
        self.members.get(usize::from(share)).map(|(key, _)| *key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, PeerId)> {
        (0..).zip(self.members.iter().map(|(_, peer)| *peer))
    }

    /// What `/test/da/membership` answers for a session.
    pub(super) fn shown(&self, session: u64) -> Value {
        if session != FIRST_SESSION {
            return json!({ "assignations": {}, "addressbook": {} });
        }
        let subnets = self.iter().map(|(share, peer)| (share.to_string(), vec![peer.to_string()]));
        let subnets: BTreeMap<_, _> = subnets.collect();
        let is_member = |peer: &PeerId| self.members.iter().any(|(_, member)| member == peer);
        let addresses = self.addresses.iter().filter(|(peer, _)| is_member(peer));
        let addresses: BTreeMap<_, _> = addresses.map(|(peer, at)| (peer.to_string(), at)).collect();
        json!({ "assignations": subnets, "addressbook": addresses })
    }
}

/// `host:port` as production writes addresses.
fn multiaddr(address: &str) -> String {
    match (address.parse::<SocketAddr>(), address.rsplit_once(':')) {
        (Ok(SocketAddr::V4(at)), _) => format!("/ip4/{}/tcp/{}", at.ip(), at.port()),
        (Ok(SocketAddr::V6(at)), _) => format!("/ip6/{}/tcp/{}", at.ip(), at.port()),
        (Err(_), Some((host, port))) => format!("/dns/{host}/tcp/{port}"),
        (Err(_), None) => format!("/dns/{address}"),
    }
}
