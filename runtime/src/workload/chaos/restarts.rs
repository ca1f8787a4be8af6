//! Random restarts: which node when, from the seed.

use std::collections::HashMap;
use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::plan::only_validator;
use super::{Chaos, PlannedFault, When};
use crate::context::derived;
use crate::failure::Problem;
use crate::faults::Fault;
use crate::topology::{Node, Role, Topology};

/// What restarts wait for by default.
const MIN_DELAY: Duration = Duration::from_secs(10);
const MAX_DELAY: Duration = Duration::from_secs(30);
const TARGET_COOLDOWN: Duration = Duration::from_secs(60);

/// Restarts a random node every now and then.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
/// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 2)).with_program(FakeProgram);
/// let builder = builder.enable_node_control().chaos_with(|chaos| {
///     chaos
///         .restart()
///         .min_delay(Duration::from_secs(5))
///         .max_delay(Duration::from_secs(15))
///         .target_cooldown(Duration::from_secs(30))
///         .include_executors(false)
///         .apply()
/// });
/// # builder.with_run_duration(Duration::from_secs(120)).build()?;
/// # Ok::<(), logos_scenario::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Restarts {
    chaos: Box<Chaos>,
    min_delay: Duration,
    max_delay: Duration,
    target_cooldown: Duration,
    validators: bool,
    executors: bool,
}

impl Restarts {
    pub(super) fn of(chaos: Chaos) -> Self {
        Self {
            chaos: Box::new(chaos),
            min_delay: MIN_DELAY,
            max_delay: MAX_DELAY,
            target_cooldown: TARGET_COOLDOWN,
            validators: true,
            executors: true,
        }
    }

    /// Sets the least time between two restarts; 10 s by default.
    #[must_use]
    pub fn min_delay(mut self, delay: Duration) -> Self {
        self.min_delay = delay;
        self
    }

    /// Sets the most time between two restarts; 30 s by default.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Sets how long a node is left alone after a restart; 60 s by default.
    #[must_use]
    pub fn target_cooldown(mut self, cooldown: Duration) -> Self {
        self.target_cooldown = cooldown;
        self
    }

    /// Sets whether validators are restarted; they are by default.
    #[must_use]
    pub fn include_validators(mut self, include: bool) -> Self {
        self.validators = include;
        self
    }

    /// Sets whether executors are restarted; they are by default.
    #[must_use]
    pub fn include_executors(mut self, include: bool) -> Self {
        self.executors = include;
        self
    }

    /// Ends the description.
    #[must_use]
    pub fn apply(mut self) -> Chaos {
        let mut chaos = std::mem::take(&mut *self.chaos);
        chaos.restarts.push(self);
        chaos
    }

    fn eligible<'a>(&self, topology: &'a Topology) -> Vec<&'a Node> {
        let included = |role| match role {
            Role::Validator => self.validators && topology.count(Role::Validator) > 1,
            Role::Executor => self.executors,
        };
        topology.nodes().iter().filter(|node| included(node.role) && !node.late).collect()
    }

    pub(super) fn problems(&self, topology: &Topology) -> Vec<Problem> {
        let mut problems = Vec::new();
        let show = humantime::format_duration;
        if self.min_delay > self.max_delay {
            problems.push(Problem::new(
                "chaos.min_delay",
                format!("{} is above max_delay, {}", show(self.min_delay), show(self.max_delay)),
                "swap the two, or raise `max_delay`",
            ));
        }
        if self.max_delay.is_zero() {
            problems.push(Problem::new("chaos.max_delay", "0s, expected a time", "try 30 s"));
        }
        if self.target_cooldown < self.min_delay {
            problems.push(Problem::new(
                "chaos.target_cooldown",
                format!(
                    "{} is below min_delay, {}, so that it has no effect",
                    show(self.target_cooldown),
                    show(self.min_delay)
                ),
                format!("give at least {}", show(self.min_delay)),
            ));
        }
        if self.eligible(topology).is_empty() {
            let only = self.validators && topology.count(Role::Validator) == 1;
            problems.push(match only {
                true => only_validator("chaos.restart".to_owned()),
                false => Problem::new(
                    "chaos.restart",
                    "no node can be restarted",
                    "include validators, or give the topology an executor",
                ),
            });
        }
        problems
    }

    /// What happens in a run: delays and nodes are drawn, one after the other, from the seed.
    pub(super) fn plan(
        &self,
        seed: u64,
        index: usize,
        window: Duration,
        topology: &Topology,
    ) -> Vec<PlannedFault> {
        let mut rng = derived(seed, &format!("chaos {index}"));
        let nodes = self.eligible(topology);
        let mut rested: HashMap<&str, Duration> = HashMap::new();
        let mut planned = Vec::new();
        let mut now = Duration::ZERO;
        loop {
            now += rng.random_range(self.min_delay..=self.max_delay);
            let free_at = |node: &Node| rested.get(node.name.as_str()).copied().unwrap_or_default();
            let Some(first_free) = nodes.iter().map(|node| free_at(node)).min() else { return planned };
            now = now.max(first_free);
            if now >= window {
                return planned;
            }
            let free: Vec<_> = nodes.iter().filter(|node| free_at(node) <= now).collect();
            let Some(node) = free.choose(&mut rng) else { return planned };
            rested.insert(&node.name, now + self.target_cooldown);
            planned.push(PlannedFault {
                when: When::After(now),
                fault: Fault::Restart(node.name.clone()),
                back: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn restarts() -> Restarts {
        Chaos::default().restart().min_delay(seconds(2)).max_delay(seconds(5)).target_cooldown(seconds(20))
    }

    fn topology() -> Topology {
        Topology::with_node_counts(3, 1).build().unwrap()
    }

    #[test]
    fn a_seed_repeats_the_plan_byte_for_byte() {
        let bytes = |seed| serde_json::to_vec(&restarts().plan(seed, 0, seconds(120), &topology())).unwrap();
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn nodes_rest_between_their_restarts_and_delays_are_kept() {
        for seed in 0..200 {
            let planned = restarts().plan(seed, 0, seconds(300), &topology());
            let times: Vec<(Duration, &str)> = planned
                .iter()
                .map(|planned| match planned.when {
                    When::After(time) => (time, planned.fault.nodes()[0]),
                    _ => unreachable!("random restarts have times"),
                })
                .collect();
            assert!(times.len() >= 40, "four nodes with 20 s of rest: {}", times.len());
            for pair in times.windows(2) {
                assert!(pair[1].0 - pair[0].0 >= seconds(2), "{pair:?}");
            }
            for (place, (time, node)) in times.iter().enumerate() {
                let next = times[place + 1..].iter().find(|(_, other)| other == node);
                assert!(next.is_none_or(|(next, _)| *next - *time >= seconds(20)), "{node} in {times:?}");
            }
        }
    }
}
