//! What survives the process: every block that was in the tree, in the order in which they came.
//!
//! One thread commits, since a commit waits for the disk and the node must not; what comes meanwhile goes into the
//! next commit together. A block that is told to be stored survives `kill -9`. Nothing is told to be final, and no
//! block of this node is sent, before it is stored.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use redb::{AccessGuard, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use tokio::sync::mpsc::UnboundedSender;

use super::network::Later;
use crate::wire::{Block, HeaderId};

const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
/// Has one entry: the genesis that the blocks begin with.
const GENESIS: TableDefinition<(), &[u8; 32]> = TableDefinition::new("genesis");

/// Nodes are many, and each reads its file once.
const CACHE: usize = 4 * 1024 * 1024;

/// Where blocks go. Without a directory nothing is kept, and every block counts as stored at once.
pub(super) struct Storage {
    saved: u64,
    disk: Option<Disk>,
    told: UnboundedSender<Later>,
}

struct Disk {
    blocks: Sender<Arc<Block>>,
    thread: JoinHandle<()>,
}

impl Storage {
    /// Keeps nothing.
    pub(super) fn none(told: UnboundedSender<Later>) -> Self {
        Self { saved: 0, disk: None, told }
    }

    /// Opens or makes the database of a directory. Returns the blocks in it, too.
    pub(super) fn open(
        directory: &Path,
        genesis: HeaderId,
        told: UnboundedSender<Later>,
    ) -> Result<(Self, Vec<Arc<Block>>), String> {
        let path = directory.join("blocks.redb");
        let context = |error: Box<dyn Error>| format!("storage: {}: {error}", path.display());
        let database = database(&path, genesis).map_err(context)?;
        let blocks = load(&database).map_err(context)?;
        let next = blocks.len() as u64;
        let (sender, receiver) = channel();
        let writer = told.clone();
        let thread = thread::Builder::new().name("storage".to_owned());
        let thread = thread.spawn(move || write(&database, next, &receiver, &writer));
        let thread = thread.map_err(|error| context(error.into()))?;
        Ok((Self { saved: next, disk: Some(Disk { blocks: sender, thread }), told }, blocks))
    }

    /// Stores a block some time soon. When [`Later::Stored`] tells a number above [`Storage::saved`] of now, it
    /// is.
    pub(super) fn save(&mut self, block: &Arc<Block>) {
        self.saved += 1;
        // Errors say that the node ends.
        match &self.disk {
            Some(disk) => drop(disk.blocks.send(block.clone())),
            None => drop(self.told.send(Later::Stored(self.saved))),
        }
    }

    /// How many blocks were saved, ever.
    pub(super) fn saved(&self) -> u64 {
        self.saved
    }

    /// Waits until all is stored that was saved.
    pub(super) fn close(&mut self) {
        if let Some(Disk { blocks, thread }) = self.disk.take() {
            drop(blocks);
            thread.join().expect("a panic anywhere ends the process");
        }
    }
}

/// The database of a chain, new where there is none.
fn database(path: &Path, genesis: HeaderId) -> Result<Database, Box<dyn Error>> {
    if !path.try_exists()? {
        make(path, genesis)?;
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
fn make(path: &Path, genesis: HeaderId) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let unfinished = path.with_extension("new");
    // What a killed process began is made anew.
    File::create(&unfinished)?;
    let database = Database::builder().set_cache_size(CACHE).create(&unfinished)?;
    let change = database.begin_write()?;
    change.open_table(BLOCKS)?;
    change.open_table(GENESIS)?.insert((), &genesis.0)?;
    change.commit()?;
    drop(database);
    Ok(fs::rename(&unfinished, path)?)
}

/// All blocks. They are numbered from 0.
fn load(database: &Database) -> Result<Vec<Arc<Block>>, Box<dyn Error>> {
    let table = database.begin_read()?.open_table(BLOCKS)?;
    let block = |entry: Result<(_, AccessGuard<'_, &[u8]>), _>| Ok(serde_json::from_slice(entry?.1.value())?);
    table.iter()?.map(block).collect()
}

fn write(database: &Database, mut next: u64, blocks: &Receiver<Arc<Block>>, told: &UnboundedSender<Later>) {
    while let Ok(first) = blocks.recv() {
        let batch: Vec<_> = std::iter::once(first).chain(blocks.try_iter()).collect();
        if let Err(error) = commit(database, next, &batch) {
            panic!("storage: cannot commit block {next}: {error}");
        }
        next += batch.len() as u64;
        // An error says that the node ends.
        drop(told.send(Later::Stored(next)));
    }
}

fn commit(database: &Database, first: u64, batch: &[Arc<Block>]) -> Result<(), redb::Error> {
    let change = database.begin_write()?;
    {
        let mut table = change.open_table(BLOCKS)?;
        for (number, block) in (first..).zip(batch) {
            let bytes = serde_json::to_vec(block).expect("a block is plain data");
            table.insert(number, bytes.as_slice())?;
        }
    }
    Ok(change.commit()?)
}
