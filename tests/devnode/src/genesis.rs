//! The notes that exist before the first block.

use serde::{Deserialize, Serialize};

use crate::wire::{Digest, Hasher, LedgerTx, NoteId, Output};

/// The notes that exist before the first block. Their ids depend on all of them and on their order, and on
/// nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Notes that count as stake: whoever has the key of one takes part in the lottery with its value.
    pub leaders: Vec<Output>,
    /// Notes of the wallet accounts, in the order of the accounts.
    pub accounts: Vec<Output>,
}

/// A note that can be spent once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The id by which a transaction spends it.
    pub id: NoteId,
    /// Its value in units, and who may spend it.
    pub output: Output,
}

impl Genesis {
    /// The note of the leader at `index`.
    #[must_use]
    pub fn leader_note(&self, index: usize) -> Option<Note> {
        (index < self.leaders.len()).then(|| self.note(index)).flatten()
    }

    /// The note of the wallet account at `index`.
    #[must_use]
    pub fn account_note(&self, index: usize) -> Option<Note> {
        self.note(self.leaders.len() + index)
    }

    /// All notes, leaders first.
    pub fn notes(&self) -> impl Iterator<Item = Note> + use<> {
        self.transaction().notes()
    }

    /// Value of all leader notes.
    #[must_use]
    pub fn total_stake(&self) -> u64 {
        self.leaders.iter().map(|leader| leader.value).fold(0, u64::saturating_add)
    }

    /// Hash of the leader notes.
    #[must_use]
    pub fn stake_root(&self) -> Digest {
        let mut hasher = Hasher::new("stake");
        for Output { value, pk } in &self.leaders {
            hasher.u64(*value);
            hasher.raw(&pk.0);
        }
        Digest(hasher.finish())
    }

    fn note(&self, index: usize) -> Option<Note> {
        self.notes().nth(index)
    }

    /// The transaction that makes all notes out of nothing.
    fn transaction(&self) -> LedgerTx {
        LedgerTx { inputs: Vec::new(), outputs: self.leaders.iter().chain(&self.accounts).copied().collect() }
    }
}
