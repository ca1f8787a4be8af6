//! Signed transfers at a rate per block.
//!
//! `floor(expected_blocks × rate)` transfers are [scheduled](Schedule) by the seed and paced evenly over the
//! window: by time, or block by block where the window is given in blocks. Accounts take turns; each spends
//! the change of its own last transfer once that is in a block, so the number of accounts does not bound
//! the total. Transfers are signed ahead and in parallel, an account's next one while its last one waits
//! for a block, on threads that may block. A submission goes to another node where one does not answer.

use crate::context::RunContext;
use crate::expectation::{AnyExpectation, TransactionInclusion};
use crate::failure::{Failure, Problem};
use crate::replay::Recording;
use crate::scenario::Outline;

use super::pace::Pace;
use super::{Counters, Workload};

mod log;
mod recalled;
mod schedule;
mod submitter;
pub use log::{Entries, Fate, Summary, TransactionLog};
pub use schedule::{Schedule, Scheduled};
use submitter::Submitter;

/// Submits signed transfers at a rate per block.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
/// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 2)).with_program(FakeProgram);
/// // Five per block, by 20 accounts in turn, of which nearly all have to be included.
/// let builder = builder.wallets(50).transactions_with(|tx| tx.rate(5).users(20).min_inclusion(0.99));
/// # builder.with_run_duration(Duration::from_secs(120)).build()?;
/// # Ok::<(), logos_scenario::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Transactions {
    rate: u64,
    users: Option<usize>,
    inclusion: TransactionInclusion,
}

impl Default for Transactions {
    fn default() -> Self {
        Self { rate: 1, users: None, inclusion: TransactionInclusion::default() }
    }
}

impl Transactions {
    /// Sets the transactions per block, on average over the window; 1 by default.
    #[must_use]
    pub fn rate(mut self, per_block: u64) -> Self {
        self.rate = per_block;
        self
    }

    /// Sets the number of accounts that take turns; by default all of the scenario's `wallets`, else
    /// `max(10, 3 × rate)`. An account has one unconfirmed transaction at a time, so three per
    /// transaction and block are needed.
    #[must_use]
    pub fn users(mut self, users: usize) -> Self {
        self.users = Some(users);
        self
    }

    /// Sets the share of accepted transactions that must be in a block of every node's chain at the end,
    /// in (0, 1]; all by default.
    #[must_use]
    pub fn min_inclusion(mut self, share: f64) -> Self {
        self.inclusion = self.inclusion.min_inclusion(share);
        self
    }

    fn users_of(&self, wallets: Option<usize>) -> usize {
        let needed = usize::try_from(self.rate.saturating_mul(3)).unwrap_or(usize::MAX);
        self.users.or(wallets).unwrap_or_else(|| needed.max(10))
    }
}

impl Workload for Transactions {
    fn name(&self) -> &str {
        "transactions"
    }

    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !outline.has_wallet {
            problems.push(Problem::new(
                "transactions",
                "the node program has no wallet, so that none can be made",
                "implement `NodeProgram::wallet`",
            ));
        }
        if self.rate == 0 {
            problems.push(Problem::new(
                "transactions.rate",
                "0, expected at least 1 per block",
                "try `.rate(1)`",
            ));
        }
        let users = self.users_of(outline.wallets);
        if (users as u64) < self.rate.saturating_mul(3) {
            problems.push(Problem::new(
                "transactions.users",
                format!("{users} users cannot submit {} transactions per block, since each waits until its last one is in a block", self.rate),
                format!("give at least 3 per transaction: `.users({})`", self.rate.saturating_mul(3)),
            ));
        }
        let given = outline.wallets.unwrap_or(crate::scenario::DEFAULT_ACCOUNTS);
        if users > given {
            problems.push(Problem::new(
                "transactions.users",
                format!("{users} users, but the scenario has {given} accounts"),
                format!("give it `wallets({users})`, or at most `.users({given})`"),
            ));
        }
        problems
    }

    fn expectations(&self) -> Vec<AnyExpectation> {
        vec![AnyExpectation::new(self.inclusion.clone())]
    }

    async fn run(&self, cx: &RunContext) -> Result<Counters, Failure> {
        let users = self.users_of(cx.wallets());
        let schedule = Schedule::new(cx.run_seed(), &self.demand(cx, users));
        Submitter::new(cx, users).await?.run(&schedule).await
    }

    async fn recall(&self, cx: &RunContext, recording: &Recording) -> Result<(), String> {
        recalled::recall(cx, recording).await
    }
}

impl Transactions {
    fn demand(&self, cx: &RunContext, users: usize) -> schedule::Demand {
        schedule::Demand { pace: Pace::of(cx, self.rate), users, nodes: cx.node_clients().all().len() }
    }
}
