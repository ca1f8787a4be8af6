//! The lines of the two streams. Who reads too slowly loses its stream, and holds nobody up.

use std::convert::Infallible;
use std::sync::Arc;

use futures::Stream;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::{Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::wire::{ApiBlock, Block, HeaderId};

/// How many lines a reader may be behind.
const BEHIND: usize = 256;
/// How many readers there may be.
pub(super) const MOST: usize = 256;

pub(super) struct Streams {
    blocks: Sender<Arc<str>>,
    lib: Sender<Arc<str>>,
    room: Arc<Semaphore>,
}

/// One who reads a stream, and the room that this takes.
pub(super) struct Reader {
    receiver: Receiver<Arc<str>>,
    room: OwnedSemaphorePermit,
}

impl Default for Streams {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(MOST));
        Self { blocks: Sender::new(BEHIND), lib: Sender::new(BEHIND), room }
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

    /// A reader of the blocks; nothing where there are [`MOST`] already, as for `lib`.
    pub(super) fn blocks(&self) -> Option<Reader> {
        self.reader(&self.blocks)
    }

    pub(super) fn lib(&self) -> Option<Reader> {
        self.reader(&self.lib)
    }

    /// Tells this program itself of blocks.
    pub(super) fn watch_blocks(&self) -> Receiver<Arc<str>> {
        self.blocks.subscribe()
    }

    fn reader(&self, sender: &Sender<Arc<str>>) -> Option<Reader> {
        let room = self.room.clone().try_acquire_owned().ok()?;
        Some(Reader { receiver: sender.subscribe(), room })
    }
}

fn send(sender: &Sender<Arc<str>>, value: &impl Serialize) {
    let mut line = serde_json::to_string(value).expect("lines are plain data");
    line.push('\n');
    // An error says that nobody listens.
    drop(sender.send(line.into()));
}

impl Reader {
    /// The lines from now on. Ends where the reader has lost some.
    pub(super) fn lines(self) -> impl Stream<Item = Result<String, Infallible>> {
        futures::stream::unfold(self, |Self { mut receiver, room }| async move {
            let line = receiver.recv().await.ok()?;
            Some((Ok(line.to_string()), Self { receiver, room }))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn who_falls_behind_loses_the_stream_and_nobody_else_does() {
        let streams = Streams::default();
        let lines = || streams.lib().unwrap().lines();
        let (slow, mut quick) = (lines(), Box::pin(lines()));
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

    #[test]
    fn there_is_room_for_so_many_readers_and_for_another_when_one_goes() {
        let streams = Streams::default();
        let mut readers: Vec<_> = (0..MOST).map(|_| streams.blocks().unwrap()).collect();
        assert!(streams.lib().is_none());
        readers.pop();
        assert!(streams.lib().is_some());
    }
}
