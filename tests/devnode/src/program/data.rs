//! The devnode's channels and blobs, as a test framework writes and reads them.

use logos_scenario_runtime::node::{
    BlobId, ChannelId, DataAvailability, Inscription, Message, MessageId, TransactionId,
};
use serde_json::Value;

use super::Devnode;
use crate::data::{self, Share};
use crate::wire::{self, Blob, Op, SignedTransaction};

impl DataAvailability for Devnode {
    fn signer(&self) -> String {
        data::publisher().public().to_string()
    }

    fn inscription(&self, channel: ChannelId, parent: MessageId, text: &[u8]) -> Inscription {
        let op = Op::Inscribe(wire::Inscription {
            channel_id: wire::ChannelId(channel.0),
            inscription: text.to_vec(),
            parent: wire::MessageId(parent.0),
            signer: data::publisher().public(),
        });
        let message = MessageId(op.message_id().0);
        let transaction = data::signed(op);
        Inscription {
            id: TransactionId(transaction.id().0),
            message,
            body: serde_json::to_value(&transaction).expect("a transaction is plain data"),
        }
    }

    fn blob_size(&self, wanted: usize) -> usize {
        data::size(wanted)
    }

    fn messages(&self, transaction: &Value) -> Result<Vec<Message>, String> {
        let transaction: SignedTransaction =
            serde_json::from_value(transaction.clone()).map_err(|error| error.to_string())?;
        Ok(transaction.mantle_tx.ops.iter().filter_map(message).collect())
    }

    fn restore(&self, blob: BlobId, size: usize, shares: &[Value]) -> Result<Vec<u8>, String> {
        let (mut read, mut unread) = (Vec::new(), 0);
        for share in shares {
            match serde_json::from_value::<Share>(share.clone()) {
                Ok(share) => read.push(share),
                Err(_) => unread += 1,
            }
        }
        let data = data::restore(wire::BlobId(blob.0), read).map_err(|error| match unread {
            0 => error,
            _ => format!("{error}, and {unread} that are no shares"),
        })?;
        if data.len() == size { Ok(data) } else { Err(format!("{} bytes, not {size}", data.len())) }
    }
}

/// The message that an operation writes, if it writes one.
fn message(op: &Op) -> Option<Message> {
    let (channel, parent, blob) = match op {
        Op::Inscribe(wire::Inscription { channel_id, parent, .. }) => (channel_id, parent, None),
        Op::Blob(Blob { channel, parent, blob, .. }) => (channel, parent, Some(BlobId(blob.0))),
        Op::SetKeys(_) => return None,
    };
    let id = MessageId(op.message_id().0);
    Some(Message { channel: ChannelId(channel.0), id, parent: MessageId(parent.0), blob })
}
