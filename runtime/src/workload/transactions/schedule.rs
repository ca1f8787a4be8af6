//! Which transfer is due when: pure, and the same for the same seed.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::context::derived;
use crate::workload::pace::{Due, Pace};

/// What is to be scheduled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// Over which time, and how many per block.
    pub(super) pace: Pace,
    /// Accounts that take turns.
    pub(super) users: usize,
    /// Nodes that transfers go to.
    pub(super) nodes: usize,
}

/// All transfers of a run, in the order in which they are due. A seed repeats it byte for byte; it cannot
/// repeat the chain, so an account whose last transfer is not in a block yet leaves its turn to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule(pub Vec<Scheduled>);

/// One transfer of a [`Schedule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// When it is due.
    pub due: Due,
    /// Whose turn it is, among the accounts in the order in which they were drawn.
    pub account: usize,
    /// The node that gets it first, in the topology's order.
    pub node: usize,
}

impl Schedule {
    /// Accounts take turns; the node that a transfer goes to first is drawn.
    pub(super) fn new(seed: u64, demand: &Demand) -> Self {
        let mut rng = derived(seed, "transactions");
        let dues = demand.pace.dues(&mut rng).into_iter().zip(0_usize..);
        let scheduled = dues.map(|(due, number)| Scheduled {
            due,
            account: number % demand.users,
            node: rng.random_range(0..demand.nodes),
        });
        Self(scheduled.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::Window;

    fn demand(window: Window, expected_blocks: f64) -> Demand {
        Demand { pace: Pace { window, expected_blocks, rate: 5 }, users: 20, nodes: 4 }
    }

    fn minute(seed: u64) -> Schedule {
        Schedule::new(seed, &demand(Window::Time(Duration::from_secs(60)), 27.5))
    }

    #[test]
    fn a_seed_repeats_the_schedule_byte_for_byte() {
        let bytes = |seed| serde_json::to_vec(&minute(seed)).unwrap();
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn transfers_are_spread_evenly_over_the_window() {
        let Schedule(scheduled) = minute(7);
        assert_eq!(scheduled.len(), 137);
        let due = |index: usize| match scheduled[index].due {
            Due::After(time) => time,
            Due::Blocks(_) => unreachable!("the window is a time"),
        };
        let interval = Duration::from_secs(60) / 137;
        assert!(due(0) < interval && due(136) < Duration::from_secs(60));
        for index in 1..137 {
            assert!((due(index) - due(index - 1)).abs_diff(interval) < Duration::from_micros(1));
        }
        assert!(
            (0..20)
                .all(|account| (6..=7).contains(&scheduled.iter().filter(|s| s.account == account).count()))
        );
        assert!((0..4).all(|node| scheduled.iter().any(|scheduled| scheduled.node == node)));
    }

    #[test]
    fn a_window_in_blocks_is_paced_by_them() {
        let Schedule(scheduled) = Schedule::new(7, &demand(Window::Blocks(30), 30.0));
        assert_eq!(scheduled.len(), 150);
        assert_eq!((scheduled[0].due, scheduled[149].due), (Due::Blocks(0), Due::Blocks(29)));
    }
}
