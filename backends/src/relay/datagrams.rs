//! UDP: a socket for each sender, by which the answers find back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Destination;
use super::decide::{Fate, Lane, of_datagram};
use super::line::Line;
use super::streams::arrive;

/// The longest datagram there is.
const LONGEST: usize = 65_535;
/// Datagrams that may be on their way in one direction; more are lost, as before a slow link.
const ON_THEIR_WAY: usize = 4_096;
/// A sender to whom nothing was answered for so long is forgotten, until it sends again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// A node that answered nothing for so long may have another address by now.
const SOUGHT_AFTER: Duration = Duration::from_secs(3);

/// One direction of a way.
struct Direction {
    line: Arc<Line>,
    chance: StdMutex<(Lane, StdRng)>,
    room: Arc<Semaphore>,
}

impl Direction {
    fn new(line: Arc<Line>) -> Arc<Self> {
        let chance = StdMutex::new((Lane::default(), StdRng::from_rng(&mut rand::rng())));
        Arc::new(Self { line, chance, room: Arc::new(Semaphore::new(ON_THEIR_WAY)) })
    }

    /// Sends a datagram when its time has come, if it has not to be lost.
    fn send(self: &Arc<Self>, bytes: &[u8], by: &Arc<UdpSocket>, to: Option<SocketAddr>) {
        let (came, (shape, shaped)) = (Instant::now(), self.line.now());
        let fate = {
            let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
            let (lane, rng) = &mut *chance;
            of_datagram(&shape, lane, came, bytes.len(), rng)
        };
        let (Fate::Arrives { at, .. }, Ok(room)) = (fate, Arc::clone(&self.room).try_acquire_owned()) else {
            return self.line.lost(shaped);
        };
        let (by, bytes, direction) = (Arc::clone(by), bytes.to_vec(), Arc::clone(self));
        tokio::spawn(async move {
            let _room = room;
            arrive(at).await;
            let sent = match to {
                Some(to) => by.send_to(&bytes, to).await,
                None => by.send(&bytes).await,
            };
            if sent.is_ok() {
                direction.line.passed(shaped, bytes.len(), came.elapsed(), 0);
            }
        });
    }
}

/// Carries datagrams for ever: `there` from who dials, `back` to it.
pub(super) async fn carry(socket: UdpSocket, to: Destination, there: Arc<Line>, back: Arc<Line>) {
    let (socket, to) = (Arc::new(socket), Arc::new(to));
    let (there, back) = (Direction::new(there), Direction::new(back));
    let mut senders: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        tokio::select! {
            Some(Ok(forgotten)) = answers.join_next() => drop(senders.remove(&forgotten)),
            received = socket.recv_from(&mut buffer) => {
                // An error tells of a datagram that was sent before.
                let Ok((length, sender)) = received else { continue };
                let node = match senders.get(&sender) {
                    Some(node) => Arc::clone(node),
                    None => {
                        let Some(node) = connected(&to).await else { continue };
                        let node = Arc::new(node);
                        senders.insert(sender, Arc::clone(&node));
                        let flow = [&there, &back].map(|direction| Arc::clone(&direction.line));
                        let by = (Arc::clone(&node), Arc::clone(&to));
                        let answers_of = answer(by, Arc::clone(&socket), sender, Arc::clone(&back));
                        answers.spawn(async move {
                            let _open = flow.each_ref().map(|line| line.open());
                            answers_of.await
                        });
                        node
                    }
                };
                there.send(&buffer[..length], &node, None);
            }
        }
    }
}

async fn connected(to: &Destination) -> Option<UdpSocket> {
    let to = to.find().await.ok()?;
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let node = UdpSocket::bind(any).await.ok()?;
    node.connect(to).await.ok()?;
    Some(node)
}

/// Brings what a node answers to a sender back to it, until nothing is answered for long.
async fn answer(
    (node, to): (Arc<UdpSocket>, Arc<Destination>),
    socket: Arc<UdpSocket>,
    sender: SocketAddr,
    back: Arc<Direction>,
) -> SocketAddr {
    let (mut buffer, mut answered) = (vec![0; LONGEST], Instant::now());
    let mut seek = answered + SOUGHT_AFTER;
    while answered.elapsed() < FORGOTTEN_AFTER {
        match tokio::time::timeout_at(seek, node.recv(&mut buffer)).await {
            Ok(Ok(length)) => {
                answered = Instant::now();
                seek = answered + SOUGHT_AFTER;
                back.send(&buffer[..length], &socket, Some(sender));
            }
            // Nobody listens there at the moment.
            Ok(Err(_)) => {}
            Err(_) => {
                if let Ok(to) = to.find().await {
                    // What cannot be sent there is lost.
                    let _ = node.connect(to).await;
                }
                seek = Instant::now() + SOUGHT_AFTER;
            }
        }
    }
    sender
}
