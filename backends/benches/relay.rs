//! What the relay adds to the way from one node to another while nothing is disturbed: the round trip of a hundred
//! bytes through its program, against the same on a connection without it.
//!
//!     cargo bench --profile dev -p logos-scenario --features relay --bench relay
//!
//! One message is on its way at a time, through the relay and without it in turn, so that whatever else the machine
//! does hits both alike.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use logos_scenario::wait;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MESSAGES: usize = 5_000;
const BYTES: usize = 100;
/// What the relay may add to one way, at the 99th percentile.
const BOUND: Duration = Duration::from_micros(200);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = TcpListener::bind("127.0.0.1:0").await?;
    let to = node.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = node.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    // A loopback address that nobody else uses.
    let [a, b, ..] = std::process::id().to_le_bytes();
    let at = SocketAddr::from(([127, 77, a, b], 20_000));
    let _relay = Relay::start(at, to)?;
    let connect = || async { TcpStream::connect(at).await };
    let through = wait::until("the relay to listen", Duration::from_secs(60), connect).await?;
    let [direct, through] = round_trips([TcpStream::connect(to).await?, through]).await?;
    let added = |percentile: usize| {
        (at_percentile(&through, percentile).saturating_sub(at_percentile(&direct, percentile))) / 2
    };
    for percentile in [50, 99] {
        println!(
            "p{percentile}: round trip {:?} through the relay, {:?} without it: {:?} added to one way",
            at_percentile(&through, percentile),
            at_percentile(&direct, percentile),
            added(percentile)
        );
    }
    println!("{} the bound of {BOUND:?} at p99", if added(99) <= BOUND { "within" } else { "above" });
    Ok(())
}

/// The relay's program, which ends with this.
struct Relay(Child);

impl Relay {
    #[expect(clippy::disallowed_methods, reason = "the relay is measured as the program that it is")]
    fn start(at: SocketAddr, to: SocketAddr) -> std::io::Result<Self> {
        let way = json!([{ "link": { "from": "a", "to": "b" }, "protocol": "tcp", "at": at, "to": to }]);
        Command::new(env!("CARGO_BIN_EXE_logos-scenario-relay")).arg(way.to_string()).spawn().map(Self)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended.
        let _ = (self.0.kill(), self.0.wait());
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut message = [0; BYTES];
    loop {
        stream.read_exact(&mut message).await?;
        stream.write_all(&message).await?;
    }
}

/// What each message took on each of the connections, sorted.
async fn round_trips(mut streams: [TcpStream; 2]) -> std::io::Result<[Vec<Duration>; 2]> {
    let mut message = [7; BYTES];
    let mut took = [Vec::new(), Vec::new()];
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    for _ in 0..MESSAGES {
        for (stream, took) in streams.iter_mut().zip(&mut took) {
            ticks.tick().await;
            stream.set_nodelay(true)?;
            let began = Instant::now();
            stream.write_all(&message).await?;
            stream.read_exact(&mut message).await?;
            took.push(began.elapsed());
        }
    }
    took.iter_mut().for_each(|took| took.sort());
    Ok(took)
}

fn at_percentile(sorted: &[Duration], percentile: usize) -> Duration {
    sorted[sorted.len() * percentile / 100]
}
