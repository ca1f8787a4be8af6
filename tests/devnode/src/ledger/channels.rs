//! Channels: chains of messages, each written by those who have its keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::MAX_COUNT;
use crate::wire::{ChannelId, Inscription, MessageId, Op, PublicKey, SetKeys};

/// All channels. Cheap to clone, since most transactions change none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Channels(Arc<BTreeMap<ChannelId, Channel>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Channel {
    tip: MessageId,
    /// The owner first.
    keys: Vec<PublicKey>,
}

impl Channels {
    pub(super) fn owner(&self, channel: &ChannelId) -> Option<PublicKey> {
        self.0.get(channel).and_then(|channel| channel.keys.first().copied())
    }

    /// Does what an operation says. After an error some of it may have been done.
    pub(super) fn apply(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Inscribe(inscription) => self.inscribe(inscription, op.message_id()),
            Op::SetKeys(set) => self.set_keys(set),
            Op::Blob(_) => Err("blobs need data availability, which this chain does not have".to_owned()),
        }
    }

    fn inscribe(&mut self, inscription: &Inscription, id: MessageId) -> Result<(), String> {
        let Inscription { channel_id, parent, signer, .. } = inscription;
        let channels = Arc::make_mut(&mut self.0);
        let new = || Channel { tip: MessageId::default(), keys: vec![*signer] };
        let channel = channels.entry(*channel_id).or_insert_with(new);
        if channel.tip != *parent {
            return Err(format!("the parent must be the channel's tip {}, it is {parent}", channel.tip));
        }
        if !channel.keys.contains(signer) {
            return Err(format!("the signer {signer} is none of the channel's keys"));
        }
        channel.tip = id;
        Ok(())
    }

    fn set_keys(&mut self, SetKeys { channel, keys }: &SetKeys) -> Result<(), String> {
        if keys.is_empty() || keys.len() > MAX_COUNT {
            return Err(format!("a channel has 1 to {MAX_COUNT} keys, these are {}", keys.len()));
        }
        let channels = Arc::make_mut(&mut self.0);
        let new = Channel { tip: MessageId::default(), keys: Vec::new() };
        let channel = channels.entry(*channel).or_insert(new);
        if channel.keys == *keys {
            return Err("the channel has these keys already".to_owned());
        }
        channel.keys.clone_from(keys);
        Ok(())
    }
}
