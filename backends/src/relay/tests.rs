//! A relay between real sockets.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use logos_scenario_runtime::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;

const WITHIN: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

fn way(protocol: Protocol, to: SocketAddr) -> Way {
    Way { link: link(), protocol, at: ([127, 0, 0, 1], 0).into(), to: to.to_string() }
}

fn link() -> Link {
    Link::new("a", "b")
}

/// The relay's only link, in the direction in which it is dialled.
fn seen(relay: &Relay) -> LinkState {
    relay.links().into_iter().find(|state| state.link == link()).unwrap()
}

async fn until_seen(relay: &Relay, what: &str, holds: impl Fn(&LinkState) -> bool) {
    let probe = || {
        let seen = seen(relay);
        std::future::ready(if holds(&seen) { Ok(()) } else { Err(format!("{seen:?}")) })
    };
    wait::until(what, WITHIN, probe).await.unwrap();
}

/// A relay before a node that sends back what it hears.
async fn with_echo() -> (Relay, SocketAddr) {
    let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (relay, addresses) = Relay::open(&[way(Protocol::Tcp, node.local_addr().unwrap())]).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = node.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.into_split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    (relay, addresses[0])
}

/// Sends something and hears it again; whether it did.
async fn echoes(stream: &mut TcpStream) -> bool {
    let mut heard = [0; 5];
    let echoed = async {
        stream.write_all(b"hello").await.ok()?;
        stream.read_exact(&mut heard).await.ok()
    };
    tokio::time::timeout(WITHIN, echoed).await.unwrap().is_some_and(|_| heard == *b"hello")
}

#[tokio::test]
async fn streams_pass_as_they_come_and_end_as_they_end() {
    let (relay, at) = with_echo().await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    assert!(echoes(&mut stream).await);
    assert_eq!((seen(&relay).open, seen(&relay).shape), (1, Default::default()));
    let long = vec![7; 3_000_000];
    let (mut read, mut write) = stream.into_split();
    let sent = long.clone();
    tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut heard = Vec::new();
    read.read_to_end(&mut heard).await.unwrap();
    assert!(heard == long);
    until_seen(&relay, "the connection to be closed", |seen| seen.open == 0).await;
}

#[tokio::test]
async fn a_cut_closes_connections_and_new_ones_until_it_heals() {
    let (relay, at) = with_echo().await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    assert!(echoes(&mut stream).await);
    relay.disturb(&[NetworkFault::Isolate("b".into())]);
    assert!(!echoes(&mut stream).await, "the connection is closed");
    until_seen(&relay, "no connection", |seen| seen.shape.cut && seen.open == 0).await;
    let mut refused = TcpStream::connect(at).await.unwrap();
    assert!(!echoes(&mut refused).await);
    relay.disturb(&[]);
    let mut healed = TcpStream::connect(at).await.unwrap();
    assert!(echoes(&mut healed).await);
}

#[tokio::test]
async fn what_is_seen_tells_latency_and_rate_from_their_absence() {
    let (relay, at) = with_echo().await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    assert!(echoes(&mut stream).await);
    relay.disturb(&[NetworkFault::Latency { link: link(), delay: 50 * MS, jitter: MS }]);
    assert_eq!(seen(&relay).passed, 0, "what passed before does not count");
    assert!(echoes(&mut stream).await);
    assert!(seen(&relay).least_held.unwrap() >= 50 * MS);
    relay.disturb(&[NetworkFault::Rate { link: link(), bytes_per_second: 1_000 }]);
    assert!(echoes(&mut stream).await);
    assert!(seen(&relay).fastest.unwrap() <= 1_000);
    relay.disturb(&[NetworkFault::Loss { link: link(), percent: 100 }]);
    let shaped = seen(&relay);
    relay.disturb(&[NetworkFault::Loss { link: link(), percent: 100 }]);
    assert_eq!(seen(&relay), shaped, "what is as it was keeps what was seen");
    assert!(!echoes(&mut stream).await, "a stream that loses all is given up");
    assert!(seen(&relay).lost > 0);
}

/// A name is looked up once for all connections that wait for it, also for those that were given up.
#[tokio::test]
async fn ways_to_a_name_share_its_lookup() {
    let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = node.local_addr().unwrap().port();
    let way = Way { to: format!("node:{port}"), ..way(Protocol::Tcp, node.local_addr().unwrap()) };
    let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, answer) = (Arc::clone(&asked), Arc::clone(&answered));
    let names = Names::by(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        let answer = Arc::clone(&answer);
        Box::pin(async move {
            answer.notified().await;
            Ok(Ipv4Addr::LOCALHOST.into())
        })
    });
    let (_relay, addresses) = Relay::open_by(Arc::new(names), &[way.clone(), way]).await.unwrap();
    for at in addresses.iter().cycle().take(10) {
        drop(TcpStream::connect(at).await.unwrap());
    }
    let _waiting = TcpStream::connect(addresses[0]).await.unwrap();
    answered.notify_one();
    tokio::time::timeout(WITHIN, node.accept()).await.unwrap().unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn datagrams_pass_or_are_lost() {
    let node = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let (relay, addresses) = Relay::open(&[way(Protocol::Udp, node.local_addr().unwrap())]).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 100];
        while let Ok((length, from)) = node.recv_from(&mut buffer).await {
            node.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(addresses[0]).await.unwrap();
    let mut buffer = [0; 100];
    client.send(b"hello").await.unwrap();
    let length = tokio::time::timeout(WITHIN, client.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..length], b"hello");
    assert_eq!(seen(&relay).open, 1);
    relay.disturb(&[NetworkFault::Isolate("a".into())]);
    client.send(b"lost").await.unwrap();
    until_seen(&relay, "a loss", |seen| seen.lost == 1).await;
    relay.disturb(&[NetworkFault::Latency { link: link(), delay: 20 * MS, jitter: MS }]);
    client.send(b"late").await.unwrap();
    let length = tokio::time::timeout(WITHIN, client.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..length], b"late");
    assert!(seen(&relay).least_held.unwrap() >= 20 * MS);
}

/// A container that is started again has another address; who sends to it does not know.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn datagrams_find_a_node_that_moved() {
    let moved = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&moved);
    let names = Names::by(move |_| {
        let ip = [127, 0, 0, 1 + now.load(Ordering::Relaxed) as u8].into();
        Box::pin(async move { Ok(ip) })
    });
    let node = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = node.local_addr().unwrap();
    let way = Way { to: format!("node:{}", at.port()), ..way(Protocol::Udp, at) };
    let (_relay, addresses) = Relay::open_by(Arc::new(names), &[way]).await.unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(addresses[0]).await.unwrap();
    let mut buffer = [0; 100];
    client.send(b"here").await.unwrap();
    node.recv(&mut buffer).await.unwrap();
    let node = UdpSocket::bind(("127.0.0.2", at.port())).await.unwrap();
    moved.store(1, Ordering::Relaxed);
    let arrives = async || {
        client.send(b"there").await.unwrap();
        node.try_recv(&mut [0; 100]).map(drop).map_err(|error| error.to_string())
    };
    wait::until("a datagram at the new address", WITHIN, arrives).await.unwrap();
}

/// Time is the test's own here.
#[tokio::test(start_paused = true)]
async fn a_stream_is_late_by_its_delay_and_as_wide_as_its_rate() {
    let line = Line::default();
    let shaped = async |shape, bytes: usize| {
        line.shape(shape);
        let ((mut client, read), (write, mut node)) = (duplex(1 << 20), duplex(1 << 20));
        let began = Instant::now();
        client.write_all(&vec![1; bytes]).await.unwrap();
        drop(client);
        let mut heard = Vec::new();
        tokio::join!(streams::pump(read, write, &line), node.read_to_end(&mut heard)).1.unwrap();
        assert_eq!(heard.len(), bytes);
        began.elapsed()
    };
    use logos_scenario_runtime::faults::Shape;
    assert_eq!(shaped(Shape::default(), 100_000).await, Duration::ZERO);
    let second = Duration::from_secs(1);
    let near = |seen: Duration, wanted: Duration| seen >= wanted && seen <= wanted + 2 * MS;
    // Many pieces are on their way at once: all are late by the delay, not each by that of those before it.
    assert!(near(shaped(Shape { delay: second, ..Shape::default() }, 100_000).await, second));
    assert!(near(shaped(Shape { rate: Some(10_000), ..Shape::default() }, 100_000).await, 10 * second));
}
