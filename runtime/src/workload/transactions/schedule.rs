//! Which transfer is due when: pure, and the same for the same seed.

use std::time::Duration;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::context::derived;
use crate::scenario::Window;

/// What is to be scheduled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub(super) window: Window,
    /// Mean number of blocks in the window.
    pub(super) expected_blocks: f64,
    /// Transfers per block.
    pub(super) rate: u64,
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

/// When a transfer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Due {
    /// So long after the window began.
    After(Duration),
    /// When the chain has grown by so many blocks since.
    Blocks(u64),
}

impl Schedule {
    /// Evenly over the window, from a random point in the first interval; where the window is given in
    /// blocks, so many with each block.
    pub(super) fn new(seed: u64, demand: &Demand) -> Self {
        let planned = (demand.expected_blocks * demand.rate as f64).floor() as u64;
        let mut rng = derived(seed, "transactions");
        let offset: f64 = rng.random();
        let due = |number: u64| match demand.window {
            Window::Time(window) => Due::After(window.mul_f64((number as f64 + offset) / planned as f64)),
            Window::Blocks(_) => Due::Blocks(number / demand.rate),
        };
        let scheduled = (0..planned).map(|number| Scheduled {
            due: due(number),
            account: (number % demand.users as u64) as usize,
            node: rng.random_range(0..demand.nodes),
        });
        Self(scheduled.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(window: Window, expected_blocks: f64) -> Demand {
        Demand { window, expected_blocks, rate: 5, users: 20, nodes: 4 }
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
