//! A link between two nodes that passes bytes on, closes every connection, or loses all without a word.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes what comes at one address on to another, as long as the runtime of the case lives.
pub(crate) struct Relay {
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Cut,
    Silent,
}

impl Relay {
    pub(crate) async fn new(from: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(from).await.unwrap();
        let (state, watched) = watch::channel(State::Open);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, to, watched.clone()));
            }
        });
        Self { state }
    }

    /// Closes every connection, those there are and those to come.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Passes nothing on any more and closes nothing. Connections of this time stay dead after it.
    pub(crate) fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    pub(crate) fn heal(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn carry(mut from: TcpStream, to: SocketAddr, mut state: watch::Receiver<State>) {
    let Ok(mut to) = TcpStream::connect(to).await else { return };
    let ended = tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => return,
        ended = state.wait_for(|state| *state != State::Open) => ended.map(|state| *state),
    };
    if ended.is_ok_and(|state| state == State::Silent) {
        std::future::pending::<()>().await;
    }
}
