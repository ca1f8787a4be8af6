//! Questions about the cluster now, and expectations made of them.
//!
//! A [`Condition`] answers true, false or unknown: a node that does not answer is unknown, never false.
//! Conditions are async closures and what [`and`](Condition::and), [`or`](Condition::or) and
//! [`not`](Condition::not) make of them; [`eventually`], [`always`] and [`sometimes`] make expectations.
//!
//! ```
//! # use logos_scenario_runtime as logos_scenario;
//! use std::time::Duration;
//! use logos_scenario::expectation::condition::{Answer, Condition, always, eventually, height_at_least, nodes_agree};
//! use logos_scenario::RunContext;
//!
//! let quick = eventually("quick", Duration::from_secs(30), height_at_least(10).and(nodes_agree()));
//! let short = always("short", |cx: RunContext| async move {
//!     Answer::of(cx.feed().best_height() < 1_000, || "the chain is long".to_owned())
//! });
//! ```

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Expectation, disagreements};
use crate::context::RunContext;
use crate::failure::{Failure, FailureClass};
use crate::node::TransactionId;
use crate::wait;

/// What a condition says of the cluster now. The texts say what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is so.
    True(String),
    /// It is not.
    False(String),
    /// It cannot be told.
    Unknown(String),
}

impl Answer {
    /// True or false, with what was seen.
    pub fn of(is_so: bool, seen: impl FnOnce() -> String) -> Self {
        if is_so { Self::True(seen()) } else { Self::False(seen()) }
    }

    /// What was seen.
    #[must_use]
    pub fn seen(&self) -> &str {
        let (Self::True(seen) | Self::False(seen) | Self::Unknown(seen)) = self;
        seen
    }
}

/// A question about the cluster now.
pub trait Condition: Send + Sync + 'static {
    /// Asks once.
    fn ask(&self, cx: &RunContext) -> impl Future<Output = Answer> + Send;

    /// True where both are, false where one is.
    fn and<C: Condition>(self, other: C) -> And<Self, C>
    where
        Self: Sized,
    {
        And(self, other)
    }

    /// True where one is, false where both are.
    fn or<C: Condition>(self, other: C) -> Or<Self, C>
    where
        Self: Sized,
    {
        Or(self, other)
    }

    /// True where this is false, and the other way round; unknown stays unknown.
    fn not(self) -> Not<Self>
    where
        Self: Sized,
    {
        Not(self)
    }
}

impl<F, A> Condition for F
where
    F: Fn(RunContext) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send,
{
    fn ask(&self, cx: &RunContext) -> impl Future<Output = Answer> + Send {
        self(cx.clone())
    }
}

/// See [`Condition::and`].
#[derive(Clone, Copy, Debug)]
pub struct And<A, B>(A, B);
/// See [`Condition::or`].
#[derive(Clone, Copy, Debug)]
pub struct Or<A, B>(A, B);
/// See [`Condition::not`].
#[derive(Clone, Copy, Debug)]
pub struct Not<A>(A);

impl<A: Condition, B: Condition> Condition for And<A, B> {
    async fn ask(&self, cx: &RunContext) -> Answer {
        match (self.0.ask(cx).await, self.1.ask(cx).await) {
            (seen @ Answer::False(_), _) | (_, seen @ Answer::False(_)) => seen,
            (seen @ Answer::Unknown(_), _) | (_, seen @ Answer::Unknown(_)) => seen,
            (one, other) => Answer::True(format!("{}; {}", one.seen(), other.seen())),
        }
    }
}

impl<A: Condition, B: Condition> Condition for Or<A, B> {
    async fn ask(&self, cx: &RunContext) -> Answer {
        match (self.0.ask(cx).await, self.1.ask(cx).await) {
            (seen @ Answer::True(_), _) | (_, seen @ Answer::True(_)) => seen,
            (seen @ Answer::Unknown(_), _) | (_, seen @ Answer::Unknown(_)) => seen,
            (one, other) => Answer::False(format!("{}; {}", one.seen(), other.seen())),
        }
    }
}

impl<A: Condition> Condition for Not<A> {
    async fn ask(&self, cx: &RunContext) -> Answer {
        match self.0.ask(cx).await {
            Answer::True(seen) => Answer::False(seen),
            Answer::False(seen) => Answer::True(seen),
            unknown @ Answer::Unknown(_) => unknown,
        }
    }
}

/// The best chain has at least this height.
#[must_use]
pub fn height_at_least(height: u64) -> impl Condition {
    move |cx: RunContext| async move {
        if cx.feed().nodes().iter().all(|node| node.error.is_some()) {
            return Answer::Unknown("no node answers".to_owned());
        }
        let best = cx.feed().best_height();
        Answer::of(best >= height, || format!("height {best}"))
    }
}

/// All nodes have the same tip, or one that the others have below theirs; unknown while one is silent.
#[must_use]
pub fn nodes_agree() -> impl Condition {
    |cx: RunContext| async move {
        let nodes = cx.feed().nodes();
        if let Some(silent) = nodes.iter().find(|node| node.error.is_some() || node.info.is_none()) {
            return Answer::Unknown(silent.describe());
        }
        let apart = disagreements(cx.feed(), &nodes, 0);
        Answer::of(apart.is_empty(), || match apart.as_slice() {
            [] => "one chain".to_owned(),
            apart => apart.join("; "),
        })
    }
}

/// The transaction is in a block of the best chain.
#[must_use]
pub fn transaction_included(id: TransactionId) -> impl Condition {
    move |cx: RunContext| async move {
        let best = cx.feed().nodes().into_iter().filter_map(|node| node.info).max_by_key(|info| info.height);
        let Some(best) = best else { return Answer::Unknown("no node answered".to_owned()) };
        let chain = cx.feed().chain(best.tip);
        let block = chain.iter().find(|block| block.transactions.contains(&id));
        Answer::of(block.is_some(), || match block {
            Some(block) => format!("{} is in block {}", id.short(), block.id.short()),
            None => format!("{} is in no block up to height {}", id.short(), best.height),
        })
    }
}

/// Which answers an expectation wants.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Eventually(Duration),
    Always,
    Sometimes,
}

/// An expectation that asks a [`Condition`] again and again.
#[derive(Clone, Debug)]
pub struct Claim<C> {
    name: String,
    wanted: Wanted,
    condition: C,
}

/// The condition is true at some time before `within` has passed since the workloads started.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::fake::{self, FakeDeployer, FakeProgram};
/// # use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
/// use logos_scenario::expectation::condition::{eventually, height_at_least};
///
/// # fake::in_no_time(async {
/// let scenario = ScenarioBuilder::with_topology(Topology::two_validators())
/// #   .with_program(FakeProgram)
///     .with_expectation(eventually("ten blocks", Duration::from_secs(40), height_at_least(10)))
///     .with_run_duration(Duration::from_secs(60))
///     .build()?;
/// # FakeDeployer::default().run(&scenario).await?;
/// # Ok(())
/// # });
/// ```
pub fn eventually<C: Condition>(name: impl Into<String>, within: Duration, condition: C) -> Claim<C> {
    Claim { name: name.into(), wanted: Wanted::Eventually(within), condition }
}

/// The condition is never false, and true at least once. Fails as soon as it is false.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::fake::{self, FakeDeployer, FakeProgram};
/// # use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
/// use logos_scenario::expectation::condition::{Condition, always, height_at_least};
///
/// # fake::in_no_time(async {
/// let scenario = ScenarioBuilder::with_topology(Topology::two_validators())
/// #   .with_program(FakeProgram)
///     .with_expectation(always("a short chain", height_at_least(1_000).not()))
///     .with_run_duration(Duration::from_secs(60))
///     .build()?;
/// # FakeDeployer::default().run(&scenario).await?;
/// # Ok(())
/// # });
/// ```
pub fn always<C: Condition>(name: impl Into<String>, condition: C) -> Claim<C> {
    Claim { name: name.into(), wanted: Wanted::Always, condition }
}

/// The condition is true at some time before the run ends.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::fake::{self, FakeDeployer, FakeProgram};
/// # use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
/// use logos_scenario::expectation::condition::{nodes_agree, sometimes};
///
/// # fake::in_no_time(async {
/// let scenario = ScenarioBuilder::with_topology(Topology::two_validators())
/// #   .with_program(FakeProgram)
///     .with_expectation(sometimes("one tip", nodes_agree()))
///     .with_run_duration(Duration::from_secs(60))
///     .build()?;
/// # FakeDeployer::default().run(&scenario).await?;
/// # Ok(())
/// # });
/// ```
pub fn sometimes<C: Condition>(name: impl Into<String>, condition: C) -> Claim<C> {
    Claim { name: name.into(), wanted: Wanted::Sometimes, condition }
}

/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl<C: Condition> Claim<C> {
    async fn once(&self, cx: &RunContext, within: Duration) -> Result<(), Failure> {
        let probe = || async {
            match self.condition.ask(cx).await {
                Answer::True(_) => Ok(()),
                Answer::False(seen) => Err(seen),
                Answer::Unknown(seen) => Err(format!("unknown: {seen}")),
            }
        };
        let last = tokio::select! {
            biased;
            waited = wait::until(&self.name, within, &probe) => waited.err().map(|error| error.to_string()),
            () = cx.settled() => probe().await.err(),
        };
        last.map_or(Ok(()), |seen| Err(self.failure("to be true at some time").seen(seen)))
    }

    async fn never_false(&self, cx: &RunContext) -> Result<(), Failure> {
        let known = AtomicBool::new(false);
        let falsified = wait::until(&self.name, FOR_EVER, || async {
            match self.condition.ask(cx).await {
                Answer::False(seen) => return Ok(seen),
                Answer::True(_) => known.store(true, Ordering::Relaxed),
                Answer::Unknown(_) => {}
            }
            Err("not false")
        });
        tokio::select! {
            biased;
            seen = falsified => Err(self.failure("never to be false").seen(seen.unwrap_or_default())),
            () = cx.settled() => match known.load(Ordering::Relaxed) {
                true => Ok(()),
                false => Err(self.failure("to be known at some time").seen("it was unknown all the time")),
            },
        }
    }

    fn failure(&self, what: &str) -> Failure {
        Failure::new(FailureClass::Product, &self.name)
            .expected(format!("the condition {what}"))
            .try_next("compare with the blocks and nodes in events.jsonl")
    }
}

impl<C: Condition> Expectation for Claim<C> {
    type Baseline = ();

    fn name(&self) -> &str {
        &self.name
    }

    fn awaited(&self) -> bool {
        !matches!(self.wanted, Wanted::Always)
    }

    async fn capture(&self, _: &RunContext) -> Result<(), Failure> {
        Ok(())
    }

    async fn judge(&self, cx: &RunContext, (): ()) -> Result<(), Failure> {
        match self.wanted {
            Wanted::Eventually(within) => self.once(cx, within).await,
            Wanted::Sometimes => self.once(cx, FOR_EVER).await,
            Wanted::Always => self.never_false(cx).await,
        }
    }
}
