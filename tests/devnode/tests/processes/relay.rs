//! A link between two nodes that can be cut: it passes bytes on, or closes every connection.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes what comes at one address on to another, as long as the runtime of the case lives.
pub(crate) struct Relay {
    is_open: watch::Sender<bool>,
}

impl Relay {
    pub(crate) async fn new(from: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(from).await.unwrap();
        let (is_open, watched) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if *watched.borrow() {
                    tokio::spawn(pass(stream, to, watched.clone()));
                }
            }
        });
        Self { is_open }
    }

    pub(crate) fn cut(&self) {
        self.is_open.send_replace(false);
    }

    pub(crate) fn heal(&self) {
        self.is_open.send_replace(true);
    }
}

async fn pass(mut from: TcpStream, to: SocketAddr, mut is_open: watch::Receiver<bool>) {
    let Ok(mut to) = TcpStream::connect(to).await else { return };
    // Either end closes it, whatever the reason.
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => {}
        _ = is_open.wait_for(|is_open| !is_open) => {}
    }
}
