//! When the parts of a workload are due: evenly over the window, from the seed.

use std::time::Duration;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::context::RunContext;
use crate::scenario::Window;
use crate::wait::pause_until;

/// When a part of a workload is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Due {
    /// So long after the window began.
    After(Duration),
    /// When the chain has grown by so many blocks since.
    Blocks(u64),
}

/// How much of a window there is, and how many parts a block has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) window: Window,
    /// Mean number of blocks in the window.
    pub(crate) expected_blocks: f64,
    /// Parts per block, on average.
    pub(crate) rate: u64,
}

impl Pace {
    pub(crate) fn of(cx: &RunContext, rate: u64) -> Self {
        Self { window: cx.window(), expected_blocks: cx.expected_blocks(), rate }
    }

    /// `floor(expected_blocks × rate)` parts, evenly over the window from a random point in the first
    /// interval; where the window is given in blocks, so many with each block.
    pub(crate) fn dues(self, rng: &mut impl rand::Rng) -> Vec<Due> {
        let planned = (self.expected_blocks * self.rate as f64).floor() as u64;
        let offset: f64 = rng.random();
        let due = |number: u64| match self.window {
            Window::Time(window) => Due::After(window.mul_f64((number as f64 + offset) / planned as f64)),
            Window::Blocks(_) => Due::Blocks(number / self.rate),
        };
        (0..planned).map(due).collect()
    }
}

/// The point from which a run counts what is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    time: Instant,
    height: u64,
}

impl Start {
    /// When the drive began, and how high the chain is now.
    pub(crate) fn of(cx: &RunContext) -> Self {
        Self { time: cx.began().unwrap_or_else(Instant::now), height: cx.feed().best_height() }
    }

    /// Completes when a part is due. One that waits for a block has to be asked again with each.
    pub(crate) fn until(self, due: Due, cx: &RunContext) -> impl Future<Output = ()> + use<> {
        let is_due = self.is_due(due, cx);
        async move {
            match due {
                _ if is_due => {}
                Due::After(time) => pause_until(self.time + time).await,
                Due::Blocks(_) => std::future::pending().await,
            }
        }
    }

    /// Whether a part is due now.
    pub(crate) fn is_due(self, due: Due, cx: &RunContext) -> bool {
        match due {
            Due::After(time) => self.time + time <= Instant::now(),
            Due::Blocks(blocks) => cx.feed().best_height().saturating_sub(self.height) >= blocks,
        }
    }
}
