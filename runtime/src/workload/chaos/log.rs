//! What was done to nodes, alone or through their links, and when it was over.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::PlannedFault;

/// The state that the workload and its expectation share.
#[derive(Debug)]
pub struct ChaosLog {
    disturbances: Mutex<Vec<Disturbance>>,
    changes: watch::Sender<()>,
}

/// Something that was done to a node.
#[derive(Clone, Debug)]
pub struct Disturbance {
    /// What was planned.
    pub planned: PlannedFault,
    /// The node; a fault that disturbs many has as many entries.
    pub node: String,
    /// When it was done.
    pub at: Instant,
    /// When it was over for the node.
    pub back: Option<Instant>,
    /// Since when the node answers again.
    pub answers: Option<Instant>,
    /// When the node answered and followed the best chain again.
    pub recovered: Option<Instant>,
}

impl Disturbance {
    /// Notes whether the node answers; returns since when it does.
    pub(crate) fn answering(&mut self, answers: bool) -> Option<Instant> {
        self.answers = answers.then(|| self.answers.unwrap_or_else(Instant::now));
        self.answers
    }
}

impl Default for ChaosLog {
    fn default() -> Self {
        Self { disturbances: Mutex::default(), changes: watch::Sender::new(()) }
    }
}

impl ChaosLog {
    /// Looks at the log.
    pub fn lock(&self) -> MutexGuard<'_, Vec<Disturbance>> {
        self.disturbances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many nodes are back and have not recovered yet.
    #[must_use]
    pub fn recovering(&self) -> usize {
        self.lock().iter().filter(|it| it.back.is_some() && it.recovered.is_none()).count()
    }

    /// A receiver that is woken when something was done, and when a node is back or has recovered.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Wakes those who wait for something to happen: a node has recovered.
    pub(crate) fn changed(&self) {
        self.changes.send_replace(());
    }

    /// Completes when all of these have recovered.
    pub(super) async fn recovered(&self, places: &[usize]) {
        let mut changes = self.changes();
        let all = || places.iter().all(|place| self.lock()[*place].recovered.is_some());
        while !all() && changes.changed().await.is_ok() {}
    }

    /// Notes that something was done; returns its place.
    pub(super) fn done(&self, planned: PlannedFault, node: &str) -> usize {
        let mut disturbances = self.lock();
        disturbances.push(Disturbance {
            planned,
            node: node.to_owned(),
            at: Instant::now(),
            back: None,
            answers: None,
            recovered: None,
        });
        self.changed();
        disturbances.len() - 1
    }

    /// Notes that a node is back.
    pub(super) fn back(&self, place: usize) {
        self.lock()[place].back = Some(Instant::now());
        self.changed();
    }
}
