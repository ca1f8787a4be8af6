//! `SCENARIO_MAX_NODES` over all clusters of all processes of one build.
//!
//! A node alive is a lock held on one of so many files: the kernel releases it with its holder, however
//! that ends. Whoever wants nodes holds the queue's lock until it has all it wants, so that two cannot
//! wait for what the other has.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Failure, FailureClass};
use crate::run::scenario_directory;
use crate::wait::{self, POLL};

/// The right to run so many nodes, until dropped.
#[derive(Debug)]
pub(crate) struct Budget {
    _slots: Vec<File>,
}

impl Budget {
    /// Waits until so many more nodes may run.
    pub(crate) async fn take(nodes: usize, most: usize) -> Result<Self, Failure> {
        Self::take_in(&scenario_directory().join("budget"), nodes, most).await
    }

    async fn take_in(directory: &Path, nodes: usize, most: usize) -> Result<Self, Failure> {
        if nodes > most {
            return Err(Failure::new(FailureClass::Infrastructure, "queue")
                .expected(format!("a cluster of at most {most} nodes"))
                .seen(format!("one of {nodes} nodes"))
                .because("SCENARIO_MAX_NODES bounds the nodes of all clusters together")
                .try_next(format!("SCENARIO_MAX_NODES={nodes}, if the machine can carry them")));
        }
        let failed = |error: std::io::Error| {
            Failure::new(FailureClass::Infrastructure, "queue")
                .expected("lock files that can be made and locked")
                .seen(error.to_string())
                .look(directory.display().to_string())
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let _queue = lock(&directory.join("queue.lock")).await.map_err(failed)?;
        let mut slots = Vec::new();
        loop {
            // Locks already held by this loop are not taken twice: each open file locks for itself.
            for number in 0..most {
                if slots.len() == nodes {
                    return Ok(Self { _slots: slots });
                }
                slots.extend(try_lock(&slot(directory, number)).map_err(failed)?);
            }
            if slots.len() == nodes {
                return Ok(Self { _slots: slots });
            }
            wait::pause(POLL).await;
        }
    }
}

fn slot(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("{number}.lock"))
}

/// Waits for a lock. There is no deadline: the holder lives, and waiting is not charged to the case.
async fn lock(path: &Path) -> std::io::Result<File> {
    loop {
        if let Some(file) = try_lock(path)? {
            return Ok(file);
        }
        wait::pause(POLL.min(Duration::from_millis(20))).await;
    }
}

fn try_lock(path: &Path) -> std::io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nodes_beyond_the_budget_wait_until_some_are_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let first = Budget::take_in(directory.path(), 3, 5).await.unwrap();
        let second = Budget::take_in(directory.path(), 2, 5).await.unwrap();
        let third = Budget::take_in(directory.path(), 3, 5);
        tokio::pin!(third);
        assert!(tokio::time::timeout(POLL * 4, &mut third).await.is_err(), "the budget is used up");
        drop(second);
        assert!(tokio::time::timeout(POLL * 4, &mut third).await.is_err(), "two are not enough");
        drop(first);
        third.await.unwrap();
    }

    #[tokio::test]
    async fn more_than_there_can_be_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let failure = Budget::take_in(directory.path(), 6, 5).await.unwrap_err();
        assert!(failure.to_string().contains("SCENARIO_MAX_NODES=6"), "{failure}");
    }
}
