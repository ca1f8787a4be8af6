//! One direction between two nodes: how it is shaped, and what was seen of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logos_scenario_runtime::faults::{Link, LinkState, Shape};
use tokio::sync::watch;

/// One direction between two nodes, over all ways that lead there.
#[derive(Debug, Default)]
pub(super) struct Line {
    shape: watch::Sender<Shape>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    open: u64,
    counts: Counts,
    /// How often it was shaped: what was decided before counts no more.
    shaped: u64,
}

#[derive(Debug, Default)]
struct Counts {
    passed: u64,
    lost: u64,
    least_held: Option<Duration>,
    fastest: Option<u64>,
}

/// A connection that counts as open until this is dropped.
pub(super) struct Open<'a>(&'a Line);

impl Line {
    pub(super) fn shape(&self, shape: Shape) {
        self.shape.send_if_modified(|now| {
            let differs = *now != shape;
            if differs {
                *now = shape;
                let mut seen = self.lock();
                (seen.counts, seen.shaped) = (Counts::default(), seen.shaped + 1);
            }
            differs
        });
    }

    /// How it is shaped, and how often it was.
    pub(super) fn now(&self) -> (Shape, u64) {
        let shape = self.shape.borrow();
        (*shape, self.lock().shaped)
    }

    pub(super) fn is_cut(&self) -> bool {
        self.shape.borrow().cut
    }

    /// Completes when it is cut.
    pub(super) async fn cut(&self) {
        // The sender lives as long as this does.
        let _ = self.shape.subscribe().wait_for(|shape| shape.cut).await;
    }

    pub(super) fn open(&self) -> Open<'_> {
        self.lock().open += 1;
        Open(self)
    }

    /// Notes that a piece passed after it was held back, and was lost so often before.
    pub(super) fn passed(&self, shaped: u64, bytes: usize, held: Duration, lost: u64) {
        let mut seen = self.lock();
        if seen.shaped != shaped {
            return;
        }
        let counts = &mut seen.counts;
        counts.passed += 1;
        counts.lost += lost;
        counts.least_held = Some(counts.least_held.map_or(held, |least| least.min(held)));
        // A piece that was not held back at all was as fast as can be.
        let rate = (bytes as u128 * 1_000_000_000).checked_div(held.as_nanos());
        let rate = rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(u64::MAX);
        counts.fastest = Some(counts.fastest.unwrap_or_default().max(rate));
    }

    /// Notes that a piece never arrives.
    pub(super) fn lost(&self, shaped: u64) {
        let mut seen = self.lock();
        if seen.shaped == shaped {
            seen.counts.lost += 1;
        }
    }

    pub(super) fn seen(&self, link: &Link) -> LinkState {
        let shape = *self.shape.borrow();
        let seen = self.lock();
        let Counts { passed, lost, least_held, fastest } = seen.counts;
        LinkState { link: link.clone(), shape, open: seen.open, passed, lost, least_held, fastest }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.lock().open -= 1;
    }
}
