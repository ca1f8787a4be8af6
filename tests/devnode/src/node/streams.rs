//! The lines of the two streams. Who reads too slowly loses its stream, and holds nobody up.

use std::convert::Infallible;
use std::sync::Arc;

use futures::Stream;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::{Receiver, Sender};

use crate::wire::{ApiBlock, Block, HeaderId};

/// How many lines a reader may be behind.
const BEHIND: usize = 256;

pub(super) struct Streams {
    blocks: Sender<Arc<str>>,
    lib: Sender<Arc<str>>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { blocks: Sender::new(BEHIND), lib: Sender::new(BEHIND) }
    }
}

impl Streams {
    pub(super) fn applied(&self, block: &Block) {
        if self.blocks.receiver_count() > 0 {
            send(&self.blocks, &ApiBlock::from(block));
        }
    }

    pub(super) fn finalized(&self, (height, header_id): (u64, HeaderId)) {
        send(&self.lib, &json!({ "height": height, "header_id": header_id }));
    }

    pub(super) fn blocks(&self) -> Receiver<Arc<str>> {
        self.blocks.subscribe()
    }

    pub(super) fn lib(&self) -> Receiver<Arc<str>> {
        self.lib.subscribe()
    }
}

fn send(sender: &Sender<Arc<str>>, value: &impl Serialize) {
    let mut line = serde_json::to_string(value).expect("lines are plain data");
    line.push('\n');
    // An error says that nobody listens.
    drop(sender.send(line.into()));
}

/// The lines from now on. Ends where the reader has lost some.
pub(super) fn lines(receiver: Receiver<Arc<str>>) -> impl Stream<Item = Result<String, Infallible>> {
    futures::stream::unfold(receiver, |mut receiver| async move {
        let line = receiver.recv().await.ok()?;
        Some((Ok(line.to_string()), receiver))
    })
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn who_falls_behind_loses_the_stream_and_nobody_else_does() {
        let streams = Streams::default();
        let (slow, mut quick) = (lines(streams.lib()), Box::pin(lines(streams.lib())));
        for height in 0..=BEHIND as u64 {
            streams.finalized((height, HeaderId::default()));
            let line = quick.next().await.unwrap().unwrap();
            assert!(
                line.starts_with(&format!("{{\"header_id\":\"{:064}\",\"height\":{height}}}", 0)),
                "{line}"
            );
        }
        assert_eq!(slow.count().await, 0);
    }
}
