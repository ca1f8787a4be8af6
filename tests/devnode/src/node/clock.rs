//! Slots of the wall clock. This file alone waits for a time.

use std::time::{Duration, SystemTime};

/// A block may be this much ahead of this node's clock, since clocks and timers differ a little.
const TOLERANCE: Duration = Duration::from_millis(200);

/// Tells which slot it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: SystemTime,
    slot: Duration,
}

impl Clock {
    pub(super) fn new(start: SystemTime, slot: Duration) -> Self {
        Self { start, slot }
    }

    /// The slot of this moment; `None` before slot 0.
    pub(super) fn now(&self) -> Option<u64> {
        self.slot_at(SystemTime::now())
    }

    /// The newest slot that a block may have.
    pub(super) fn latest(&self) -> u64 {
        self.slot_at(SystemTime::now() + TOLERANCE.min(self.slot)).unwrap_or(0)
    }

    /// Waits for the beginning of the first slot after `last`, or after slot 0. Slots that went by unseen are left
    /// out. May be dropped and called again.
    pub(super) async fn after(&self, last: u64) -> u64 {
        loop {
            let next = last.max(self.now().unwrap_or(0).saturating_sub(1)) + 1;
            let slots = u32::try_from(next).unwrap_or(u32::MAX);
            match (self.start + self.slot * slots).duration_since(SystemTime::now()) {
                Err(_) => return next,
                Ok(wait) if wait.is_zero() => return next,
                Ok(wait) => sleep(wait).await,
            }
        }
    }

    fn slot_at(&self, time: SystemTime) -> Option<u64> {
        let since = time.duration_since(self.start).ok()?;
        u64::try_from(since.as_nanos() / self.slot.as_nanos()).ok()
    }
}

/// Waits.
#[expect(
    clippy::disallowed_methods,
    reason = "a node lives by the clock: slots, and delays that are asked for"
)]
pub(super) async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}
