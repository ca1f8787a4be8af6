//! The relay: carries what nodes send each other, and closes, holds back or loses what faults say.
//!
//! It runs in user space and needs no right: nodes are told its addresses in place of their peers', one for each
//! route, so that whoever connects there is known by where it does. Where nodes are processes it lives in
//! the process that owns them; where they are containers it is the program of a container of its own, which is told
//! and asked over a connection.
//!
//! What becomes of a piece of data is decided by the module `decide` alone, which knows of no socket.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use logos_scenario_runtime::faults::{Link, LinkState, NetworkFault, shapes};
use logos_scenario_runtime::names::Names;
use logos_scenario_runtime::plan::Protocol;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[cfg(any(feature = "compose", feature = "k8s", feature = "relay"))]
pub(crate) mod control;
mod datagrams;
mod decide;
mod line;
#[cfg(feature = "relay")]
mod program;
mod streams;
#[cfg(any(feature = "compose", feature = "k8s"))]
pub(crate) mod ways;
use line::Line;
#[cfg(feature = "relay")]
pub use program::program;

/// A way through the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Way {
    /// Who dials, and who is dialled.
    pub(crate) link: Link,
    pub(crate) protocol: Protocol,
    /// Where the relay takes what is for it; port 0 is any that is free.
    pub(crate) at: SocketAddr,
    /// Where it brings it, as `host:port`: a name is looked up by and by, since who is there may move.
    pub(crate) to: String,
}

/// Ways that are open. Dropping it closes them.
#[derive(Debug)]
pub(crate) struct Relay {
    lines: BTreeMap<Link, Arc<Line>>,
    /// Whether a way ended by itself, which none should.
    ended: watch::Receiver<bool>,
    _carriers: JoinSet<()>,
}

/// Where a way ends.
struct Destination {
    /// `host:port`.
    address: String,
    names: Arc<Names>,
}

impl Destination {
    async fn find(&self) -> io::Result<SocketAddr> {
        self.names.find(&self.address).await.map_err(io::Error::other)
    }
}

/// Somebody listens at each way's beginning.
enum Listener {
    Streams(TcpListener),
    Datagrams(UdpSocket),
}

impl Relay {
    /// Opens ways; also the addresses at which it listens, in their order.
    pub(crate) async fn open(ways: &[Way]) -> io::Result<(Self, Vec<SocketAddr>)> {
        Self::open_by(Arc::default(), ways).await
    }

    async fn open_by(names: Arc<Names>, ways: &[Way]) -> io::Result<(Self, Vec<SocketAddr>)> {
        let links = ways.iter().flat_map(|way| [way.link.clone(), way.link.back()]);
        let lines: BTreeMap<Link, Arc<Line>> = links.map(|link| (link, Arc::default())).collect();
        let (mut carriers, mut addresses) = (JoinSet::new(), Vec::new());
        for way in ways {
            let (listener, address) = match way.protocol {
                Protocol::Tcp => {
                    let listener = TcpListener::bind(way.at).await?;
                    let address = listener.local_addr()?;
                    (Listener::Streams(listener), address)
                }
                Protocol::Udp => {
                    let socket = UdpSocket::bind(way.at).await?;
                    let address = socket.local_addr()?;
                    (Listener::Datagrams(socket), address)
                }
            };
            addresses.push(address);
            let (there, back) = (Arc::clone(&lines[&way.link]), Arc::clone(&lines[&way.link.back()]));
            let to = Destination { address: way.to.clone(), names: Arc::clone(&names) };
            match listener {
                Listener::Streams(listener) => carriers.spawn(streams::carry(listener, to, there, back)),
                Listener::Datagrams(socket) => carriers.spawn(datagrams::carry(socket, to, there, back)),
            };
        }
        let (tell, ended) = watch::channel(false);
        let mut all = JoinSet::new();
        all.spawn(async move {
            if carriers.join_next().await.is_some() {
                tell.send_replace(true);
            }
            // A relay without ways goes on for ever, too.
            std::future::pending::<()>().await;
        });
        Ok((Self { lines, ended, _carriers: all }, addresses))
    }

    /// Lets the links be as these faults say, and those that are as they were keep what was seen of them.
    pub(crate) fn disturb(&self, faults: &[NetworkFault]) {
        for (link, shape) in shapes(faults, self.lines.keys()) {
            self.lines[&link].shape(shape);
        }
    }

    /// What was seen of each link since it was shaped last.
    pub(crate) fn links(&self) -> Vec<LinkState> {
        self.lines.iter().map(|(link, line)| line.seen(link)).collect()
    }

    /// Completes when a way has ended by itself, and never if the relay is dropped before.
    #[cfg(any(feature = "local", feature = "relay"))]
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut ended = self.ended.clone();
        async move {
            if ended.wait_for(|ended| *ended).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
