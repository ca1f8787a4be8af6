//! Channels: chains of messages, each written by those who have its keys.

use rpds::{HashTrieMapSync, HashTrieSetSync};

use super::MAX_COUNT;
use crate::data::FIRST_SESSION;
use crate::wire::{
    Blob, ChannelId, Inscription, MessageId, Op, PublicKey, SetKeys, SignedTransaction, TransactionId,
};

/// All channels. What an operation costs does not depend on how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Channels(HashTrieMapSync<ChannelId, Channel>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Channel {
    tip: MessageId,
    /// The owner first.
    keys: Vec<PublicKey>,
    /// Transactions that have set the keys. They name no parent: without this anybody could repeat one.
    keys_set_by: HashTrieSetSync<TransactionId>,
}

impl Channels {
    pub(super) fn owner(&self, channel: &ChannelId) -> Option<PublicKey> {
        self.0.get(channel).and_then(|channel| channel.keys.first().copied())
    }

    /// Does what an operation of a transaction says. After an error nothing is changed.
    pub(super) fn apply(&mut self, op: &Op, transaction: &SignedTransaction) -> Result<(), String> {
        match op {
            Op::Inscribe(Inscription { channel_id, parent, signer, .. }) => {
                self.write(*channel_id, *parent, *signer, op.message_id())
            }
            Op::Blob(Blob { session: FIRST_SESSION, channel, parent, signer, .. }) => {
                self.write(*channel, *parent, *signer, op.message_id())
            }
            Op::Blob(Blob { session, .. }) => {
                Err(format!("there is no session but {FIRST_SESSION}, this blob is of session {session}"))
            }
            Op::SetKeys(set) => self.set_keys(set, transaction.id()),
        }
    }

    /// Puts a message behind the channel's last one.
    fn write(
        &mut self,
        id: ChannelId,
        parent: MessageId,
        signer: PublicKey,
        message: MessageId,
    ) -> Result<(), String> {
        let new = || Channel { keys: vec![signer], ..Channel::default() };
        let mut channel = self.0.get(&id).cloned().unwrap_or_else(new);
        if channel.tip != parent {
            return Err(format!("the parent must be the channel's tip {}, it is {parent}", channel.tip));
        }
        if !channel.keys.contains(&signer) {
            return Err(format!("the signer {signer} is none of the channel's keys"));
        }
        channel.tip = message;
        self.0.insert_mut(id, channel);
        Ok(())
    }

    fn set_keys(
        &mut self,
        SetKeys { channel: id, keys }: &SetKeys,
        transaction: TransactionId,
    ) -> Result<(), String> {
        if keys.is_empty() || keys.len() > MAX_COUNT {
            return Err(format!("a channel has 1 to {MAX_COUNT} keys, these are {}", keys.len()));
        }
        let mut channel = self.0.get(id).cloned().unwrap_or_default();
        if channel.keys == *keys {
            return Err("the channel has these keys already".to_owned());
        }
        if channel.keys_set_by.contains(&transaction) {
            return Err("this transaction has set the channel's keys before".to_owned());
        }
        channel.keys.clone_from(keys);
        channel.keys_set_by.insert_mut(transaction);
        self.0.insert_mut(*id, channel);
        Ok(())
    }
}
