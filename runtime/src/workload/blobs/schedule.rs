//! Which blob is due when and what is in it: pure, and the same for the same seed.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::context::derived;
use crate::workload::pace::{Due, Pace};

/// All blobs of a run, in the order in which they are due. A seed repeats it byte for byte; it cannot repeat
/// the chain, so a channel whose last blob is not in a block yet leaves its turn to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobSchedule(pub Vec<ScheduledBlob>);

/// One blob of a [`BlobSchedule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledBlob {
    /// Its number, from which its data is derived.
    pub number: usize,
    /// When it is due.
    pub due: Due,
    /// Whose turn it is, among the run's channels.
    pub channel: usize,
    /// The executor that gets it first, in the topology's order.
    pub executor: usize,
}

impl BlobSchedule {
    /// Channels take turns; the executor that a blob goes to first is drawn.
    pub(super) fn new(seed: u64, pace: Pace, channels: usize, executors: usize) -> Self {
        let mut rng = derived(seed, "blobs");
        let dues = pace.dues(&mut rng).into_iter().enumerate();
        let blob = |(number, due)| ScheduledBlob {
            number,
            due,
            channel: number % channels,
            executor: rng.random_range(0..executors),
        };
        Self(dues.map(blob).collect())
    }
}

/// The data of a run's blob.
pub(crate) fn payload(seed: u64, number: usize, size: usize) -> Vec<u8> {
    let mut data = vec![0; size];
    derived(seed, &format!("blob {number}")).fill_bytes(&mut data);
    data
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::Window;

    fn schedule(seed: u64) -> BlobSchedule {
        let window = Window::Time(Duration::from_secs(60));
        BlobSchedule::new(seed, Pace { window, expected_blocks: 27.5, rate: 2 }, 3, 2)
    }

    #[test]
    fn a_seed_repeats_schedule_and_data_byte_for_byte() {
        let bytes = |seed| serde_json::to_vec(&schedule(seed)).unwrap();
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
        assert_eq!(payload(1, 7, 100), payload(1, 7, 100));
        assert_ne!(payload(1, 7, 100), payload(1, 8, 100));
    }

    #[test]
    fn channels_take_turns_and_every_executor_gets_some() {
        let BlobSchedule(blobs) = schedule(3);
        assert_eq!(blobs.len(), 55);
        let on = |channel| blobs.iter().filter(|blob| blob.channel == channel).count();
        assert_eq!([on(0), on(1), on(2)], [19, 18, 18]);
        assert!((0..2).all(|executor| blobs.iter().any(|blob| blob.executor == executor)));
    }
}
