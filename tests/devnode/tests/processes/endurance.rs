//! What holds at any instant, at many random ones: nothing that a node told to be final is ever lost.
//!
//! `DEVNODE_KILLS=200` and `DEVNODE_RUNS=50` are the long forms; `DEVNODE_SEED` repeats their choices. An instant
//! is not repeated by them.

use std::collections::BTreeMap;
use std::time::Duration;

use libtest_mimic::Trial;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;

use crate::cluster::{Cluster, Layout, agree_at, any_time, until};
use crate::{Counts, trial};

pub(crate) fn trials(&Counts { kills, runs, seed }: &Counts) -> Vec<Trial> {
    vec![
        trial("a_kill_at_any_instant_loses_nothing_final", move || kill_at_random(kills, seed)),
        trial("a_kill_during_the_first_start_spoils_nothing", move || kill_at_first_start(kills, seed)),
        trial("five_nodes_agree_through_random_restarts", move || restart_at_random(runs, seed)),
    ]
}

/// The final blocks that any node ever told of, by their heights.
#[derive(Default)]
struct Told(BTreeMap<u64, String>);

impl Told {
    /// Hears what a node says now; it must not differ from what others said.
    async fn listen(&mut self, cluster: &Cluster, index: usize) -> Option<String> {
        let (height, id) = cluster.lib(index).await.filter(|(height, _)| *height > 0)?;
        let known = self.0.entry(height).or_insert_with(|| id.clone());
        assert_eq!(*known, id, "node {index} has another final block at height {height}");
        Some(id)
    }

    /// All of it must be in a node's chain.
    async fn check(&self, cluster: &Cluster, index: usize) {
        let chain = cluster.chain(index).await;
        for (height, id) in &self.0 {
            let found = usize::try_from(*height).ok().and_then(|height| chain.get(height - 1));
            assert_eq!(found.map(|(id, _)| id), Some(id), "node {index} lost its final block at {height}");
        }
    }
}

async fn kill_at_random(kills: u32, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cluster = Cluster::new(3, "100ms", Layout::Full, |_, _| ());
    cluster.start().await;
    let mut told = Told::default();
    for _ in 0..kills {
        let index = rng.random_range(0..3);
        any_time(&mut rng, Duration::from_millis(300)).await;
        let mut told_last = told.listen(&cluster, index).await;
        any_time(&mut rng, Duration::from_millis(20)).await;
        cluster.end(index, Signal::KILL);
        let catches_up = rng.random_ratio(1, 8);
        if catches_up {
            cluster.forget(index);
            told_last = None;
        }
        cluster.spawn(index);
        if catches_up || rng.random_ratio(1, 4) {
            // While it starts or gets from others all that it forgot, too.
            any_time(&mut rng, Duration::from_millis(if catches_up { 1_000 } else { 100 })).await;
            cluster.end(index, Signal::KILL);
            cluster.spawn(index);
        }
        cluster.ready(index).await;
        if let Some(id) = told_last {
            let down = cluster.get(index, &format!("/cryptarchia/headers?to={id}")).await.unwrap();
            let down: Vec<String> = down.json().await.unwrap();
            assert_eq!(down.last(), Some(&id), "node {index} lost a block that it told to be final");
        }
        let height = cluster.height((index + 1) % 3).await;
        until("it rejoins", 30, async || cluster.height(index).await >= height).await;
    }
    let height = cluster.height(0).await;
    agree_at(&cluster, height + 10, 60).await;
    for index in 0..3 {
        told.check(&cluster, index).await;
    }
    println!("{kills} kills, {} final blocks told, none lost", told.0.len());
}

async fn kill_at_first_start(kills: u32, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cluster = Cluster::new(1, "200ms", Layout::Star, |_, _| ());
    for _ in 0..kills {
        cluster.spawn(0);
        any_time(&mut rng, Duration::from_millis(40)).await;
        cluster.end(0, Signal::KILL);
        cluster.spawn(0);
        cluster.ready(0).await;
        cluster.end(0, Signal::KILL);
        cluster.forget(0);
    }
}

async fn restart_at_random(runs: u32, seed: u64) {
    for run in 1..=runs {
        let (restarts, blocks) =
            restarts_of_one_run(&mut ChaCha8Rng::seed_from_u64(seed + u64::from(run))).await;
        println!("run {run} of {runs}: {restarts} restarts, {blocks} final blocks told, all agree");
    }
}

async fn restarts_of_one_run(rng: &mut ChaCha8Rng) -> (u32, usize) {
    let layout = [Layout::Star, Layout::Chain, Layout::Full][rng.random_range(0..3)];
    let mut cluster = Cluster::new(5, "200ms", layout, |_, _| ());
    cluster.start().await;
    let (mut restarts, mut told) = (0, Told::default());
    while cluster.height_of_all().await < 100 {
        any_time(rng, Duration::from_secs(2)).await;
        let index = rng.random_range(0..5);
        for index in 0..5 {
            told.listen(&cluster, index).await;
        }
        cluster.end(index, if rng.random_ratio(1, 4) { Signal::TERM } else { Signal::KILL });
        any_time(rng, Duration::from_secs(2)).await;
        cluster.spawn(index);
        cluster.ready(index).await;
        restarts += 1;
        assert!(restarts < 500, "the chain does not get to height 100");
    }
    let height = cluster.height(0).await;
    agree_at(&cluster, height + 12, 60).await;
    for index in 0..5 {
        told.check(&cluster, index).await;
    }
    (restarts, told.0.len())
}
