//! Connections: how they begin, and when they are given up.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use futures::StreamExt as _;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Swarm};
use tracing::debug;

use super::{Later, Network};
use crate::node::behaviour::Behaviour;

/// The port on which nobody listens to what is sent.
const DISCARD: u16 = 9;

impl Network {
    /// Listens; when this returns, peers can connect.
    pub(in crate::node) async fn listen(&mut self) -> io::Result<()> {
        listen(&mut self.swarm, self.at).await?;
        announce(self.at.ip());
        Ok(())
    }

    /// Leaves those who are not there any more, and dials who is absent.
    pub(super) fn renew(&mut self) {
        for peer in self.peers.silent() {
            debug!(%peer, "nothing is heard of it");
            self.disconnect(peer);
        }
        self.dial();
    }

    pub(super) fn disconnect(&mut self, peer: PeerId) {
        // An error says that it is disconnected already.
        let _: Result<(), ()> = self.swarm.disconnect_peer_id(peer);
    }

    /// Dials who is absent. Names are looked up beside the loop.
    pub(super) fn dial(&mut self) {
        for (peer, address) in self.peers.choose_absent() {
            if !self.sought.insert(peer) {
                continue;
            }
            let (later, names) = (self.later.clone(), Arc::clone(&self.names));
            tokio::spawn(async move {
                let found = names.find(&address).await;
                // An error says that the node ends.
                drop(later.send(Later::Dial(peer, found)));
            });
        }
    }

    pub(super) fn dial_at(&mut self, peer: PeerId, found: Result<SocketAddr, String>) {
        self.sought.remove(&peer);
        let address = match found {
            Ok(address) => address,
            Err(error) => return debug!(%peer, "not dialled: {error}"),
        };
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

/// Makes the kernel ask the network for an address near its own, which tells all that hear it where this node is. Who
/// dialled it before it was there would otherwise wait for a second, until its own kernel asks again.
fn announce(me: IpAddr) {
    if let IpAddr::V4(me) = me
        && !me.is_loopback()
        && !me.is_unspecified()
        && let Ok(socket) = UdpSocket::bind((me, 0))
    {
        let near = Ipv4Addr::from_bits(me.to_bits() ^ 1);
        // Where it cannot be sent, nobody waits for it.
        let _: io::Result<usize> = socket.send_to(&[], (near, DISCARD));
    }
}

fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// The address of a peer, where it has one.
pub(super) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    })
}
