//! TCP: a connection for each connection. A cut closes it; everything else holds back what it carries.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Destination;
use super::decide::{Fate, Lane, of_stream};
use super::line::Line;

/// What is read at a time, in bytes, and how many such pieces may be on their way: what is sent beyond that waits
/// where it comes from, as it would before a slow link.
const PIECE: usize = 16 * 1024;
const ON_THEIR_WAY: usize = 256;
/// How long it may take to reach the node that is dialled.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// When a connection is taken again after none could be.
const AGAIN: Duration = Duration::from_millis(50);

/// Takes connections for ever, and carries what passes them: `there` from who dials, `back` to it.
pub(super) async fn carry(listener: TcpListener, to: Destination, there: Arc<Line>, back: Arc<Line>) {
    let to = Arc::new(to);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((dialled, _)) = listener.accept().await else {
            // There are too many open files; others are closed as time passes.
            arrive(Instant::now() + AGAIN).await;
            continue;
        };
        if !there.is_cut() && !back.is_cut() {
            connections.spawn(connection(dialled, Arc::clone(&to), Arc::clone(&there), Arc::clone(&back)));
        }
    }
}

async fn connection(dialled: TcpStream, to: Arc<Destination>, there: Arc<Line>, back: Arc<Line>) {
    let both = async {
        let connected = async { TcpStream::connect(to.find().await?).await };
        let connected = tokio::time::timeout(CONNECT_WITHIN, connected).await;
        // A node that does not listen is one that closes connections.
        let Ok(Ok(node)) = connected else { return };
        // Either may be closed by now.
        let _ = (dialled.set_nodelay(true), node.set_nodelay(true));
        let _open = (there.open(), back.open());
        let (mut dialled_end, mut node_end) = (dialled, node);
        let (dialled_read, dialled_write) = dialled_end.split();
        let (node_read, node_write) = node_end.split();
        tokio::join!(pump(dialled_read, node_write, &there), pump(node_read, dialled_write, &back));
    };
    tokio::select! {
        () = both => {}
        () = there.cut() => {}
        () = back.cut() => {}
    }
}

struct Piece {
    bytes: Vec<u8>,
    came: Instant,
    arrives: Instant,
    lost: u64,
    shaped: u64,
}

/// Carries one direction until it ends; then the other end is told so.
pub(super) async fn pump(from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin, line: &Line) {
    let (pieces, arriving) = mpsc::channel(ON_THEIR_WAY);
    tokio::join!(read(from, pieces, line), write(to, arriving, line));
}

async fn read(mut from: impl AsyncRead + Unpin, pieces: mpsc::Sender<Piece>, line: &Line) {
    let (mut lane, mut rng) = (Lane::default(), StdRng::from_rng(&mut rand::rng()));
    let mut buffer = vec![0; PIECE];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = pieces.closed() => return,
        };
        let Some(bytes) = read.ok().filter(|&read| read > 0).map(|read| buffer[..read].to_vec()) else {
            return;
        };
        let (came, (shape, shaped)) = (Instant::now(), line.now());
        match of_stream(&shape, &mut lane, came, bytes.len(), &mut rng) {
            Fate::Arrives { at, lost } => {
                let piece = Piece { bytes, came, arrives: at, lost, shaped };
                if pieces.send(piece).await.is_err() {
                    return;
                }
            }
            Fate::Lost => return line.lost(shaped),
        }
    }
}

async fn write(mut to: impl AsyncWrite + Unpin, mut arriving: mpsc::Receiver<Piece>, line: &Line) {
    while let Some(Piece { bytes, came, arrives, lost, shaped }) = arriving.recv().await {
        arrive(arrives).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
        line.passed(shaped, bytes.len(), came.elapsed(), lost);
    }
    // It may be closed by now.
    let _ = to.shutdown().await;
}

#[expect(clippy::disallowed_methods, reason = "what is on its way takes time: that is what the relay is for")]
pub(super) async fn arrive(at: Instant) {
    if at > Instant::now() {
        tokio::time::sleep_until(at).await;
    }
}
