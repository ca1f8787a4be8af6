//! The shares that a node keeps, on disk where the node has a directory.
//!
//! One thread commits, as for blocks; what is told to be stored survives `kill -9`. Each blob has the height from
//! which on it was last wanted, and goes when that is long past.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use redb::{Database, ReadableDatabase as _, TableDefinition, WriteTransaction};
use tokio::sync::oneshot;

use crate::data::Share;
use crate::node::storage;
use crate::wire::{BlobId, HeaderId};

/// By blob and place.
const SHARES: TableDefinition<(&[u8; 32], u16), &[u8]> = TableDefinition::new("shares");

/// The height of the chain when a share of a blob was stored, or the blob included, whatever came last.
const WANTED: TableDefinition<&[u8; 32], u64> = TableDefinition::new("wanted");

pub(super) enum Store {
    Memory(Mutex<Memory>),
    Disk { database: Arc<Database>, writer: Mutex<Option<Writer>> },
}

#[derive(Default)]
pub(super) struct Memory {
    shares: BTreeMap<(BlobId, u16), Share>,
    wanted: BTreeMap<BlobId, u64>,
}

pub(super) struct Writer {
    items: Sender<Item>,
    thread: JoinHandle<()>,
}

enum Item {
    Save(BlobId, Share, u64, oneshot::Sender<()>),
    Keep(BlobId, u64),
    Forget(BlobId),
    Prune(u64),
}

impl Store {
    pub(super) fn in_memory() -> Self {
        Self::Memory(Mutex::default())
    }

    /// Opens or makes the database of a directory.
    pub(super) fn open(directory: &Path, genesis: HeaderId) -> Result<Self, String> {
        let path = directory.join("shares.redb");
        let context = |error: Box<dyn Error>| format!("storage: {}: {error}", path.display());
        let tables = |change: &WriteTransaction| {
            change.open_table(SHARES)?;
            change.open_table(WANTED).map(drop)
        };
        let database = Arc::new(storage::database(&path, genesis, tables).map_err(context)?);
        let (items, received) = channel();
        let written = database.clone();
        let thread = thread::Builder::new().name("shares".to_owned());
        let thread =
            thread.spawn(move || write(&written, &received)).map_err(|error| context(error.into()))?;
        Ok(Self::Disk { database, writer: Mutex::new(Some(Writer { items, thread })) })
    }

    /// Returns when the share is stored. The chain has that height.
    pub(super) async fn save(&self, blob: BlobId, share: Share, height: u64) {
        match self {
            Self::Memory(memory) => {
                let mut memory = lock(memory);
                memory.shares.insert((blob, share.index()), share);
                memory.wanted.insert(blob, height);
            }
            Self::Disk { writer, .. } => {
                let (done, stored) = oneshot::channel();
                send(writer, Item::Save(blob, share, height, done));
                // An error says that the node ends.
                drop(stored.await);
            }
        }
    }

    /// The blob is wanted at that height, too.
    pub(super) fn keep(&self, blob: BlobId, height: u64) {
        match self {
            Self::Memory(memory) => drop(lock(memory).wanted.insert(blob, height)),
            Self::Disk { writer, .. } => send(writer, Item::Keep(blob, height)),
        }
    }

    /// Forgets blobs that were last wanted below that height.
    pub(super) fn prune(&self, height: u64) {
        match self {
            Self::Memory(memory) => {
                let Memory { shares, wanted } = &mut *lock(memory);
                wanted.retain(|_, last| *last >= height);
                shares.retain(|(blob, _), _| wanted.contains_key(blob));
            }
            Self::Disk { writer, .. } => send(writer, Item::Prune(height)),
        }
    }

    pub(super) fn forget(&self, blob: BlobId) {
        match self {
            Self::Memory(memory) => lock(memory).shares.retain(|(other, _), _| *other != blob),
            Self::Disk { writer, .. } => send(writer, Item::Forget(blob)),
        }
    }

    pub(super) fn has(&self, blob: BlobId, index: u16) -> bool {
        !self.shares(blob, &[index]).is_empty()
    }

    /// Those of these shares that are stored.
    pub(super) fn shares(&self, blob: BlobId, indices: &[u16]) -> Vec<Share> {
        match self {
            Self::Memory(memory) => {
                let shares = &lock(memory).shares;
                indices.iter().filter_map(|index| shares.get(&(blob, *index)).cloned()).collect()
            }
            Self::Disk { database, .. } => read(database, blob, indices)
                .unwrap_or_else(|error| panic!("storage: cannot read shares of {blob}: {error}")),
        }
    }

    /// Waits until all is stored that was saved.
    pub(super) fn close(&self) {
        if let Self::Disk { writer, .. } = self
            && let Some(Writer { items, thread }) = lock(writer).take()
        {
            drop(items);
            thread.join().expect("a panic anywhere ends the process");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("a panic anywhere ends the process")
}

fn send(writer: &Mutex<Option<Writer>>, item: Item) {
    if let Some(writer) = &*lock(writer) {
        // An error says that the node ends.
        drop(writer.items.send(item));
    }
}

fn read(database: &Database, blob: BlobId, indices: &[u16]) -> Result<Vec<Share>, Box<dyn Error>> {
    let table = database.begin_read()?.open_table(SHARES)?;
    let mut shares = Vec::new();
    for index in indices {
        if let Some(bytes) = table.get((&blob.0, *index))? {
            shares.push(cbor4ii::serde::from_slice(bytes.value())?);
        }
    }
    Ok(shares)
}

fn all_of(blob: &BlobId) -> RangeInclusive<(&[u8; 32], u16)> {
    (&blob.0, 0)..=(&blob.0, u16::MAX)
}

/// Commits until the node ends. What comes meanwhile goes into the next commit together.
fn write(database: &Database, items: &Receiver<Item>) {
    while let Ok(first) = items.recv() {
        let batch: Vec<_> = std::iter::once(first).chain(items.try_iter()).collect();
        let done =
            commit(database, batch).unwrap_or_else(|error| panic!("storage: cannot commit shares: {error}"));
        for done in done {
            // An error says that nobody waits any more.
            let _: Result<(), ()> = done.send(());
        }
    }
}

/// Returns whom to tell.
fn commit(database: &Database, batch: Vec<Item>) -> Result<Vec<oneshot::Sender<()>>, Box<dyn Error>> {
    let change = database.begin_write()?;
    let mut done = Vec::new();
    {
        let (mut shares, mut wanted) = (change.open_table(SHARES)?, change.open_table(WANTED)?);
        for item in batch {
            match item {
                Item::Save(blob, share, height, told) => {
                    let bytes = cbor4ii::serde::to_vec(Vec::new(), &share)?;
                    shares.insert((&blob.0, share.index()), bytes.as_slice())?;
                    wanted.insert(&blob.0, height)?;
                    done.push(told);
                }
                Item::Keep(blob, height) => drop(wanted.insert(&blob.0, height)?),
                Item::Forget(blob) => shares.retain_in(all_of(&blob), |_, _| false)?,
                Item::Prune(height) => {
                    for gone in wanted.extract_if(|_, last| last < height)? {
                        shares.retain_in(all_of(&BlobId(*gone?.0.value())), |_, _| false)?;
                    }
                }
            }
        }
    }
    change.commit()?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Code, encode};

    #[tokio::test]
    async fn what_is_stored_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let encoded = [1, 2].map(|byte| encode(&[byte; 31], Code::of_members(4)).unwrap());
        let [one, other] = [0, 1].map(|place: usize| encoded[place].commitment.blob());
        let store = Store::open(directory.path(), HeaderId::default()).unwrap();
        for share in &encoded[0].shares {
            store.save(one, share.clone(), 1).await;
        }
        store.save(other, encoded[1].shares[3].clone(), 1).await;
        store.close();
        drop(store);
        let store = Store::open(directory.path(), HeaderId::default()).unwrap();
        assert_eq!(store.shares(one, &[0, 1, 2, 3, 4]), encoded[0].shares);
        store.forget(one);
        store.save(other, encoded[1].shares[0].clone(), 1).await;
        assert_eq!(store.shares(one, &[0, 1, 2, 3]), []);
        assert!(store.has(other, 0) && !store.has(other, 1) && store.has(other, 3));
        store.close();
        drop(store);
        let error = Store::open(directory.path(), HeaderId([1; 32])).err().unwrap();
        assert!(error.contains("shares.redb: holds the chain of genesis"), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_wanted_for_long_goes() {
        let directory = tempfile::tempdir().unwrap();
        let encoded = [1, 2, 3].map(|byte| encode(&[byte; 31], Code::of_members(2)).unwrap());
        let blobs = encoded.each_ref().map(|encoded| encoded.commitment.blob());
        for store in [Store::in_memory(), Store::open(directory.path(), HeaderId::default()).unwrap()] {
            for (height, encoded) in (1..).zip(&encoded) {
                store.save(encoded.commitment.blob(), encoded.shares[1].clone(), height).await;
            }
            // The first is included later.
            store.keep(blobs[0], 4);
            store.prune(3);
            // What comes after it is stored after it.
            store.save(blobs[2], encoded[2].shares[0].clone(), 4).await;
            assert_eq!(blobs.map(|blob| store.has(blob, 1)), [true, false, true]);
            store.close();
        }
    }
}
