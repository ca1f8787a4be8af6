//! Chains made slot by slot, to see how often the bounds are wrong.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{FALSE_FAILURES, Growth};
use crate::topology::Consensus;

/// What kind of chain is made.
#[derive(Clone, Copy)]
struct World {
    f: f64,
    nodes: usize,
    /// Slots until a block has reached everybody: each takes as long as it may.
    delay: f64,
    /// The last node is down in these slots.
    down: (u64, u64),
    /// The share of won slots in which leaders do make a block.
    diligence: f64,
    slots: u64,
}

impl World {
    const HEALTHY: Self = Self { f: 0.9, nodes: 4, delay: 0.025, down: (0, 0), diligence: 1.0, slots: 60 };

    fn is_down(&self, node: usize, slot: u64) -> bool {
        node + 1 == self.nodes && (self.down.0..self.down.1).contains(&slot)
    }

    /// What the framework takes for sure in each slot.
    fn growth(&self) -> Vec<Growth> {
        let slot = Duration::from_secs(1);
        let consensus = Consensus { slot, active_slot_coeff: self.f, ..Consensus::DEFAULT };
        let growth = |slot| {
            let online = (0..self.nodes).filter(|node| !self.is_down(*node, slot)).count();
            let online = online as f64 / self.nodes as f64;
            Growth::online(&consensus, Duration::from_secs_f64(self.delay), online)
        };
        (0..self.slots).map(growth).collect()
    }
}

/// Growth of the chain as the worst informed node sees it, and its longest gap in slots.
fn chain(world: &World, rng: &mut ChaCha8Rng) -> (u64, u64) {
    let wins = 1.0 - (1.0 - world.f).powf(1.0 / world.nodes as f64);
    // Height of each node's own chain, and of what everybody has heard of.
    let mut own = vec![0_u64; world.nodes];
    let mut heard = 0_u64;
    let mut travelling: Vec<(f64, u64)> = Vec::new();
    let (mut last, mut gap) = (0, 0);
    for slot in 0..world.slots {
        travelling.retain(|(arrives, height)| {
            let arrived = *arrives <= slot as f64;
            if arrived {
                heard = heard.max(*height);
            }
            !arrived
        });
        let mut filled = false;
        for (node, height) in own.iter_mut().enumerate() {
            if rng.random_bool(wins * world.diligence) && !world.is_down(node, slot) {
                *height = heard.max(*height) + 1;
                travelling.push((slot as f64 + world.delay, *height));
                filled = true;
            }
        }
        gap = gap.max(slot - last);
        last = if filled { slot } else { last };
    }
    // What a healthy chain made last has its time to arrive.
    let made = travelling.iter().map(|(_, height)| *height).max().unwrap_or(0);
    (heard.max(made), gap.max(world.slots - last))
}

/// Of `runs` chains, the share of those that grow too little and that stand still for too long.
fn failures(world: World, alpha: f64, runs: usize) -> (f64, f64) {
    let growth = world.growth();
    let bound = Growth::mean(&growth).expect("the world has slots").blocks_in(world.slots, alpha);
    let longest = Growth::least(&growth).expect("the world has slots").longest_gap(world.slots, alpha);
    let mut rng = ChaCha8Rng::seed_from_u64(world.slots + runs as u64);
    let mut failed = (0, 0);
    for _ in 0..runs {
        let (grown, gap) = chain(&world, &mut rng);
        failed.0 += u32::from(grown < bound);
        failed.1 += u32::from(gap > longest);
    }
    (f64::from(failed.0) / runs as f64, f64::from(failed.1) / runs as f64)
}

fn healthy() -> Vec<World> {
    let down = World { down: (10, 40), nodes: 3, ..World::HEALTHY };
    let delays = [0.0, 0.5, 1.0, 1.5].map(|delay| World { delay, ..World::HEALTHY });
    let sparse = [0.3, 0.05].map(|f| World { f, slots: 300, delay: 1.5, ..World::HEALTHY });
    let more = [World { slots: 15, ..World::HEALTHY }, World { delay: 1.5, ..down }, down];
    delays.into_iter().chain(sparse).chain(more).collect()
}

#[test]
fn no_healthy_chain_fails() {
    for world in healthy() {
        let failed = failures(world, FALSE_FAILURES, 5_000 / healthy().len());
        assert_eq!(failed, (0.0, 0.0), "f {}, delay {}", world.f, world.delay);
    }
}

#[test]
fn no_more_healthy_chains_fail_than_may() {
    const ALPHA: f64 = 0.01;
    const RUNS: usize = 600;
    // Four standard deviations above what is allowed.
    let most = ALPHA + 4.0 * (ALPHA * (1.0 - ALPHA) / RUNS as f64).sqrt();
    for world in healthy() {
        let (slow, still) = failures(world, ALPHA, RUNS);
        assert!(slow <= most && still <= most, "f {}, delay {}: {slow}, {still}", world.f, world.delay);
    }
}

#[test]
fn half_rate_chains_are_found_out_as_often_as_is_printed() {
    for slots in [30, 60, 120] {
        let healthy = World { nodes: 1, delay: 0.0, slots, ..World::HEALTHY };
        let growth = healthy.growth()[0];
        let printed = growth.power_against_half(slots, growth.blocks_in(slots, FALSE_FAILURES));
        let (found, _) = failures(World { diligence: 0.5, ..healthy }, FALSE_FAILURES, 2_000);
        assert!((found - printed).abs() < 0.04, "{slots} slots: {found} found, {printed} printed");
    }
}
