//! How a relay in another process is told what to do and asked what it sees: a line of JSON each way, over a
//! connection for each.

use std::io;
use std::time::Duration;

use logos_scenario_runtime::faults::{LinkState, NetworkFault};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

#[cfg(any(feature = "compose", feature = "k8s"))]
mod remote;
#[cfg(any(feature = "compose", feature = "k8s"))]
pub(crate) use remote::Remote;

/// The port on which a relay's program is told.
pub(crate) const PORT: u16 = 18_090;
/// What an answer may take.
const WITHIN: Duration = Duration::from_secs(10);

/// What a relay is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// These faults are in force.
    Disturb(Vec<NetworkFault>),
    /// Say what is seen.
    Links,
}

/// What a relay answers: what it sees, or nothing.
pub(crate) type Answer = Vec<LinkState>;

async fn write(stream: &mut TcpStream, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn read<T: for<'a> Deserialize<'a>>(stream: &mut TcpStream) -> io::Result<T> {
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed")),
        _ => Ok(serde_json::from_str(&line)?),
    }
}

async fn within<T>(asked: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(WITHIN, asked).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Listens to one order and answers it.
#[cfg(feature = "relay")]
pub(super) async fn answer(mut stream: TcpStream, relay: &super::Relay) -> io::Result<()> {
    let answered = async {
        match read(&mut stream).await? {
            Order::Disturb(faults) => {
                relay.disturb(&faults);
                write(&mut stream, &Answer::new()).await
            }
            Order::Links => write(&mut stream, &relay.links()).await,
        }
    };
    within(answered).await
}
