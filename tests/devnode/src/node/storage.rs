//! What survives the process: every block that was in the tree, in the order in which they joined it, the last slot
//! that the node took for a block of its own, and where its peers are.
//!
//! One thread commits, since a commit waits for the disk and the node must not; what comes meanwhile goes into the
//! next commit together. A block that is told to be stored survives `kill -9`. Nothing is told to be final
//! before it is stored, and no block is made in a slot before it is stored that the node took it.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use redb::{
    AccessGuard, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError,
    WriteTransaction,
};
use tokio::sync::mpsc::UnboundedSender;

use super::network::Later;
use super::protocol::Address;
use crate::wire::{Block, HeaderId, PublicKey};

const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
/// Has one entry: the genesis that the blocks begin with.
const GENESIS: TableDefinition<(), &[u8; 32]> = TableDefinition::new("genesis");

/// Has one entry, once there is a block of this node: its slot.
const TAKEN: TableDefinition<(), u64> = TableDefinition::new("taken");
/// Addresses of peers by their public keys.
const PEERS: TableDefinition<&[u8; 32], &str> = TableDefinition::new("peers");

/// Nodes are many, and each reads its file once.
const CACHE: usize = 4 * 1024 * 1024;

/// Where blocks go. Without a directory nothing is kept, and every block counts as stored at once.
pub(super) struct Storage {
    saved: u64,
    disk: Option<Disk>,
    told: UnboundedSender<Later>,
}

struct Disk {
    items: Sender<Item>,
    thread: JoinHandle<()>,
}

enum Item {
    Block(Arc<Block>),
    Taken(u64),
    Peer(Address),
}

/// What was stored before.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) blocks: Vec<Arc<Block>>,
    /// The last slot that was taken.
    pub(super) taken: u64,
    /// What was learnt of peers.
    pub(super) learnt: Vec<Address>,
}

impl Storage {
    /// Keeps nothing.
    pub(super) fn none(told: UnboundedSender<Later>) -> Self {
        Self { saved: 0, disk: None, told }
    }

    /// Opens or makes the database of a directory. Returns what is in it, too.
    pub(super) fn open(
        directory: &Path,
        genesis: HeaderId,
        told: UnboundedSender<Later>,
    ) -> Result<(Self, Stored), String> {
        let path = directory.join("blocks.redb");
        let context = |error: Box<dyn Error>| format!("storage: {}: {error}", path.display());
        let tables = |change: &WriteTransaction| {
            change.open_table(BLOCKS)?;
            change.open_table(TAKEN)?;
            change.open_table(PEERS).map(drop)
        };
        let database = database(&path, genesis, tables).map_err(context)?;
        let stored = load(&database).map_err(context)?;
        let next = stored.blocks.len() as u64;
        let (sender, receiver) = channel();
        let writer = told.clone();
        let thread = thread::Builder::new().name("storage".to_owned());
        let thread = thread.spawn(move || write(&database, next, &receiver, &writer));
        let thread = thread.map_err(|error| context(error.into()))?;
        Ok((Self { saved: 0, disk: Some(Disk { items: sender, thread }), told }, stored))
    }

    /// Stores a block of the tree some time soon. When [`Later::Stored`] tells at least the number that
    /// [`Storage::saved`] has then, it is.
    pub(super) fn save(&mut self, block: &Arc<Block>) {
        self.send(Item::Block(block.clone()));
    }

    /// Stores in the same way that a slot is taken.
    pub(super) fn take(&mut self, slot: u64) {
        self.send(Item::Taken(slot));
    }

    /// Stores in the same way where a peer is.
    pub(super) fn remember(&mut self, peer: Address) {
        self.send(Item::Peer(peer));
    }

    fn send(&mut self, item: Item) {
        self.saved += 1;
        // Errors say that the node ends.
        match &self.disk {
            Some(disk) => drop(disk.items.send(item)),
            None => drop(self.told.send(Later::Stored(self.saved))),
        }
    }

    /// How much was saved since the node started.
    pub(super) fn saved(&self) -> u64 {
        self.saved
    }

    /// Waits until all is stored that was saved.
    pub(super) fn close(&mut self) {
        if let Some(Disk { items, thread }) = self.disk.take() {
            drop(items);
            thread.join().expect("a panic anywhere ends the process");
        }
    }
}

/// The database of a chain, new where there is none, with these tables.
pub(super) fn database(
    path: &Path,
    genesis: HeaderId,
    tables: impl FnOnce(&WriteTransaction) -> Result<(), TableError>,
) -> Result<Database, Box<dyn Error>> {
    if !path.try_exists()? {
        make(path, genesis, tables)?;
    }
    let database = Database::builder().set_cache_size(CACHE).open(path)?;
    let found = database.begin_read()?.open_table(GENESIS)?.get(())?.map(|found| HeaderId(*found.value()));
    match found {
        Some(found) if found == genesis => Ok(database),
        other => {
            let other = other.map_or_else(|| "nothing".to_owned(), |other| other.to_string());
            Err(format!("holds the chain of genesis {other}, not of {genesis}; use another directory").into())
        }
    }
}

/// Makes an empty database. It has its name when it is whole: redb does not open what it began to make when the
/// process was killed.
fn make(
    path: &Path,
    genesis: HeaderId,
    tables: impl FnOnce(&WriteTransaction) -> Result<(), TableError>,
) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let unfinished = path.with_extension("new");
    // What a killed process began is made anew.
    File::create(&unfinished)?;
    let database = Database::builder().set_cache_size(CACHE).create(&unfinished)?;
    let change = database.begin_write()?;
    tables(&change)?;
    change.open_table(GENESIS)?.insert((), &genesis.0)?;
    change.commit()?;
    drop(database);
    Ok(fs::rename(&unfinished, path)?)
}

fn load(database: &Database) -> Result<Stored, Box<dyn Error>> {
    let read = database.begin_read()?;
    let block = |entry: Result<(_, AccessGuard<'_, &[u8]>), _>| Ok(serde_json::from_slice(entry?.1.value())?);
    let blocks = read.open_table(BLOCKS)?.iter()?.map(block).collect::<Result<_, Box<dyn Error>>>()?;
    let taken = read.open_table(TAKEN)?.get(())?.map_or(0, |slot| slot.value());
    let mut learnt = Vec::new();
    for entry in read.open_table(PEERS)?.iter()? {
        let (key, address) = entry?;
        learnt.push(Address { public_key: PublicKey(*key.value()), address: address.value().parse()? });
    }
    Ok(Stored { blocks, taken, learnt })
}

/// Commits until the node ends. `next` is the number of the next block; they are numbered from 0.
fn write(database: &Database, mut next: u64, items: &Receiver<Item>, told: &UnboundedSender<Later>) {
    let mut count = 0;
    while let Ok(first) = items.recv() {
        let batch: Vec<_> = std::iter::once(first).chain(items.try_iter()).collect();
        next = match commit(database, next, &batch) {
            Ok(next) => next,
            Err(error) => panic!("storage: cannot commit block {next}: {error}"),
        };
        count += batch.len() as u64;
        // An error says that the node ends.
        drop(told.send(Later::Stored(count)));
    }
}

fn commit(database: &Database, mut next: u64, batch: &[Item]) -> Result<u64, redb::Error> {
    let change = database.begin_write()?;
    {
        let (mut blocks, mut taken) = (change.open_table(BLOCKS)?, change.open_table(TAKEN)?);
        let mut peers = change.open_table(PEERS)?;
        for item in batch {
            match item {
                Item::Block(block) => {
                    let bytes = serde_json::to_vec(block).expect("a block is plain data");
                    blocks.insert(next, bytes.as_slice())?;
                    next += 1;
                }
                Item::Taken(slot) => drop(taken.insert((), slot)?),
                Item::Peer(Address { public_key, address }) => {
                    peers.insert(&public_key.0, address.to_string().as_str())?;
                }
            }
        }
    }
    change.commit()?;
    Ok(next)
}
