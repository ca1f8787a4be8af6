//! How fast a healthy chain is sure to grow.
//!
//! # Derivation
//!
//! Let `f` be the probability that a slot has a leader with all stake online, `σ` the share of the stake
//! that is online, and `Δ` the longest time, in slots, that a message takes to reach all nodes.
//!
//! - A slot is filled with probability `a = 1 − (1 − f)^σ`.
//! - A leader that has not yet heard of the last block builds beside it, not on it, so the chain grows
//!   per slot by at least `p = a / (1 + Δ·a)`, the delay bound of longest-chain analyses (Pass, Seeman and
//!   Shelat, *Analysis of the Blockchain Protocol in Asynchronous Networks*, 2017, chain growth).
//!   The reason: after a filled slot at most `Δ` slots pass in which leaders may not have heard of it; then
//!   the next filled slot adds to the height, after `1/a` slots in the mean. So one block needs at most
//!   `Δ + 1/a` slots, which is `1/p`.
//! - In `n` slots a healthy chain grows by less than the `α`-quantile of Binomial(n, p) at most with
//!   probability `α`: waiting `Δ` and then for a filled slot varies less than the binomial with that mean.
//! - Where nodes come and go, `p` differs from slot to slot. The number of successes of independent trials
//!   with different probabilities is below a value under its mean at most as often as that of trials which
//!   all have the mean probability (Hoeffding, *On the Distribution of the Number of Successes in
//!   Independent Trials*, 1956), so `p` is the [mean](Growth::mean) over the slots.
//! - A run of `g` slots without a block begins in one of `n` slots at most with probability `n (1 − p)^g`;
//!   where `p` differs, the smallest one.
//!
//! # Calibration
//!
//! The tests of this module make chains slot by slot, with leaders by stake and messages as late as they may
//! be, and judge them. Of 5,000 healthy ones, without delay, with delays up to 1.5 slots, and with a node
//! down for part of the window, none misses its bound at `α` = 10⁻⁶ (which shows less than 6 in 10⁴, with
//! 95 % confidence), and at `α` = 10⁻², where failures can be counted, no more miss it than may. Of chains at
//! half rate as many are found out as [`power_against_half`](Growth::power_against_half) says.

use std::time::Duration;

use statrs::distribution::{Binomial, DiscreteCDF};

use crate::topology::{Consensus, Topology};

/// How often a judgement of a healthy chain may be wrong, over all its clauses.
pub const FALSE_FAILURES: f64 = 1e-6;

/// How fast a healthy chain is sure to grow.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// use std::time::Duration;
/// use logos_scenario::{Consensus, expectation::bound::Growth};
///
/// let growth = Growth::of(&Consensus::DEFAULT, Duration::from_millis(50));
/// assert_eq!(growth.blocks_in(30, 1e-6), 16);
/// assert_eq!(growth.slots_for(16, 1e-6), 30);
/// assert_eq!(growth.longest_gap(30, 1e-6), 9);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    per_slot: f64,
}

impl Growth {
    /// Of a chain with all its stake online, whose messages take at most `delay`.
    #[must_use]
    pub fn of(consensus: &Consensus, delay: Duration) -> Self {
        Self::online(consensus, delay, 1.0)
    }

    /// Of the chain of a topology before any late node has joined it.
    #[must_use]
    pub fn at_start(topology: &Topology, delay: Duration) -> Self {
        Self::online(topology.consensus(), delay, topology.stake_at_start())
    }

    /// Of a chain with the share `online` of its stake online.
    #[must_use]
    pub fn online(consensus: &Consensus, delay: Duration, online: f64) -> Self {
        let filled = 1.0 - (1.0 - consensus.active_slot_coeff).powf(online);
        let delay = delay.as_secs_f64() / consensus.slot.as_secs_f64();
        Self { per_slot: filled / (1.0 + delay * filled) }
    }

    /// Of a chain that grew like each of these for one slot; `None` of none.
    #[must_use]
    pub fn mean(slots: &[Self]) -> Option<Self> {
        let sum: f64 = slots.iter().map(Self::per_slot).sum();
        (!slots.is_empty()).then(|| Self { per_slot: sum / slots.len() as f64 })
    }

    /// The slowest of these; `None` of none.
    #[must_use]
    pub fn least(slots: &[Self]) -> Option<Self> {
        slots.iter().copied().min_by(|one, other| one.per_slot.total_cmp(&other.per_slot))
    }

    /// Mean growth per slot, in blocks.
    #[must_use]
    pub fn per_slot(&self) -> f64 {
        self.per_slot
    }

    /// Blocks by which the chain grows in `slots`, but for the probability `alpha`.
    #[must_use]
    pub fn blocks_in(&self, slots: u64, alpha: f64) -> u64 {
        if self.per_slot >= 1.0 { slots } else { self.binomial(slots).inverse_cdf(alpha) }
    }

    /// Slots in which the chain grows by `blocks`, but for the probability `alpha`.
    #[must_use]
    pub fn slots_for(&self, blocks: u64, alpha: f64) -> u64 {
        let (mut low, mut high) = (blocks, blocks.max(1));
        while self.blocks_in(high, alpha) < blocks {
            (low, high) = (high, high * 2);
        }
        while low < high {
            let middle = low.midpoint(high);
            if self.blocks_in(middle, alpha) < blocks { low = middle + 1 } else { high = middle }
        }
        high
    }

    /// The longest run of slots without a block among `slots`, but for the probability `alpha`; one more
    /// is too long.
    #[must_use]
    pub fn longest_gap(&self, slots: u64, alpha: f64) -> u64 {
        if self.per_slot >= 1.0 {
            return 1;
        }
        if self.per_slot <= 0.0 {
            return u64::MAX;
        }
        let gap = (alpha / slots.max(1) as f64).ln() / (1.0 - self.per_slot).ln();
        gap.ceil() as u64
    }

    /// The probability that a chain that grows half as fast is found out by demanding `blocks` in `slots`.
    #[must_use]
    pub fn power_against_half(&self, slots: u64, blocks: u64) -> f64 {
        let half = Self { per_slot: self.per_slot / 2.0 };
        blocks.checked_sub(1).map_or(0.0, |most| half.binomial(slots).cdf(most))
    }

    fn binomial(&self, slots: u64) -> Binomial {
        Binomial::new(self.per_slot, slots).expect("growth per slot is a probability")
    }
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use super::*;

    fn growth() -> Growth {
        Growth::of(&Consensus::DEFAULT, Duration::from_millis(50))
    }

    #[test]
    fn a_healthy_chain_misses_the_bound_less_often_than_alpha() {
        for slots in [1, 5, 30, 300, 3_000] {
            let bound = growth().blocks_in(slots, 1e-6);
            let below = bound.checked_sub(1).map_or(0.0, |most| growth().binomial(slots).cdf(most));
            assert!(below <= 1e-6, "{slots} slots: bound {bound} is missed with probability {below}");
            assert!(
                growth().binomial(slots).cdf(bound) > 1e-6,
                "{slots} slots: {bound} is not the best bound"
            );
        }
    }

    #[test]
    fn slots_are_the_inverse_of_blocks() {
        for blocks in [1, 6, 30, 500] {
            let slots = growth().slots_for(blocks, 1e-6);
            assert!(growth().blocks_in(slots, 1e-6) >= blocks);
            assert!(growth().blocks_in(slots - 1, 1e-6) < blocks);
        }
    }

    #[test]
    fn delay_and_absence_slow_a_chain_down() {
        let consensus = Consensus::DEFAULT;
        let slow = Growth::of(&consensus, Duration::from_secs(3));
        assert!((slow.per_slot() - 0.9 / (1.0 + 1.5 * 0.9)).abs() < 1e-12);
        let few = Growth::online(&consensus, Duration::ZERO, 0.5);
        assert!((few.per_slot() - (1.0 - 0.1_f64.sqrt())).abs() < 1e-12);
    }

    #[test]
    fn a_half_rate_chain_is_found_out_in_a_long_window() {
        let bound = growth().blocks_in(300, 1e-6);
        assert!(growth().power_against_half(300, bound) > 0.999_999);
        assert!(growth().power_against_half(5, growth().blocks_in(5, 1e-6)) < 0.5);
    }

    #[test]
    fn a_node_that_is_late_adds_nothing_to_what_is_sure_at_the_start() {
        let delay = Duration::from_millis(50);
        let topology = |late: bool| {
            let builder = Topology::with_node_counts(4, 0);
            let builder = if late {
                builder.with_node("validator-3", crate::topology::NodeOverrides::late)
            } else {
                builder
            };
            builder.build().unwrap()
        };
        assert_eq!(Growth::at_start(&topology(false), delay), Growth::of(&Consensus::DEFAULT, delay));
        assert_eq!(
            Growth::at_start(&topology(true), delay),
            Growth::online(&Consensus::DEFAULT, delay, 0.75)
        );
    }

    #[test]
    fn a_chain_that_fills_every_slot_may_not_miss_one() {
        let always = Growth { per_slot: 1.0 };
        assert_eq!(always.blocks_in(10, 1e-6), 10);
        assert_eq!(always.longest_gap(10, 1e-6), 1);
    }
}
