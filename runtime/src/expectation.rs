//! What is judged.
//!
//! To write one, implement [`Expectation`] and hand it to
//! [`with_expectation`](crate::ScenarioBuilderExt::with_expectation). Those that ship:
//!
//! - [`ConsensusLiveness`]: every node's chain grows as fast as a healthy chain is sure to.
//! - [`ChainAgreement`]: all nodes follow one chain.
//! - [`TransactionInclusion`]: what was submitted is in a block of every node's chain.
//! - [`BlobAvailability`]: what executors dispersed can be had from the network.
//! - [`Recovery`]: nodes that were disturbed take part again.
//! - [`BlockInterval`]: blocks follow each other within bounds given.
//! - [`TransactionLatency`]: transactions get from stage to stage within times given.
//! - [`ResourceUse`]: nodes use no more memory and processor than given.
//! - [`MetricThreshold`]: a metric in a Prometheus is within bounds.
//! - [`LogPattern`]: nodes log what they should, and not what they should not.
//! - [`eventually`](condition::eventually), [`always`](condition::always) and
//!   [`sometimes`](condition::sometimes): a [`Condition`](condition::Condition) is true when it should be.
//! - [`NoCrash`]: no node exited, was restarted behind our back, or panicked. Always on.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use crate::context::RunContext;
use crate::deployer::BoxFuture;
use crate::failure::{Failure, Problem};
use crate::scenario::Outline;

mod blob_availability;
mod block_interval;
pub mod bound;
mod chain_agreement;
pub mod condition;
mod consensus_liveness;
mod log_pattern;
mod metric_threshold;
mod no_crash;
pub(crate) mod presence;
mod recovery;
mod resource_use;
mod transaction_inclusion;
mod transaction_latency;
pub use blob_availability::BlobAvailability;
pub use block_interval::BlockInterval;
pub use chain_agreement::ChainAgreement;
pub(crate) use chain_agreement::disagreements;
pub use consensus_liveness::ConsensusLiveness;
pub use log_pattern::LogPattern;
pub use metric_threshold::MetricThreshold;
pub use no_crash::NoCrash;
pub use recovery::Recovery;
pub use resource_use::ResourceUse;
pub use transaction_inclusion::TransactionInclusion;
pub use transaction_latency::{TransactionLatency, TransactionStage};

/// What explains that something submitted is not where it should be: whoever should have it ended, did not come back,
/// or follows another chain, or there is no chain to speak of.
pub(crate) const EXPLAIN_A_LOSS: &[&str] =
    &[NoCrash::NAME, Recovery::NAME, ChainAgreement::NAME, ConsensusLiveness::NAME];

/// Judges a run. An `async fn` is the whole state machine:
///
/// 1. [`capture`](Self::capture) of every expectation is awaited before any workload starts.
/// 2. [`judge`](Self::judge) starts with the workloads. It may fail as soon as that is certain, which
///    ends the run; it may be satisfied early, by its return or, where it goes on judging, by
///    [`RunContext::satisfied`]; or it awaits [`RunContext::settled`] and judges the end.
pub trait Expectation: Send + Sync + 'static {
    /// What was seen before the workloads started.
    type Baseline: Send + 'static;

    /// The name, unique within a scenario.
    fn name(&self) -> &str;

    /// Everything that makes this expectation pointless in the given scenario.
    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        let _ = outline;
        Vec::new()
    }

    /// Whether a run that ends when it is satisfied goes on until this is: not for what can be judged
    /// whenever the run ends.
    fn awaited(&self) -> bool {
        true
    }

    /// Names of the expectations that, where they fail, too, explain why this one does: its failure is told after
    /// theirs, as a consequence. By default that is a node's end.
    fn explained_by(&self) -> &'static [&'static str] {
        &[NoCrash::NAME]
    }

    /// Looks at the chain before any workload starts.
    ///
    /// # Errors
    ///
    /// Whatever makes judging impossible.
    fn capture(&self, cx: &RunContext) -> impl Future<Output = Result<Self::Baseline, Failure>> + Send;

    /// Judges the run.
    ///
    /// # Errors
    ///
    /// Why the expectation does not hold.
    fn judge(
        &self,
        cx: &RunContext,
        baseline: Self::Baseline,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

type AnyBaseline = Box<dyn Any + Send>;

trait DynExpectation: Send + Sync {
    fn name(&self) -> &str;
    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem>;
    fn awaited(&self) -> bool;
    fn explained_by(&self) -> &'static [&'static str];
    fn capture<'a>(&'a self, cx: &'a RunContext) -> BoxFuture<'a, Result<AnyBaseline, Failure>>;
    fn judge<'a>(&'a self, cx: &'a RunContext, baseline: AnyBaseline) -> BoxFuture<'a, Result<(), Failure>>;
}

impl<E: Expectation> DynExpectation for E {
    fn name(&self) -> &str {
        Expectation::name(self)
    }

    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        Expectation::problems(self, outline)
    }

    fn awaited(&self) -> bool {
        Expectation::awaited(self)
    }

    fn explained_by(&self) -> &'static [&'static str] {
        Expectation::explained_by(self)
    }

    fn capture<'a>(&'a self, cx: &'a RunContext) -> BoxFuture<'a, Result<AnyBaseline, Failure>> {
        Box::pin(async move { Ok(Box::new(Expectation::capture(self, cx).await?) as AnyBaseline) })
    }

    fn judge<'a>(&'a self, cx: &'a RunContext, baseline: AnyBaseline) -> BoxFuture<'a, Result<(), Failure>> {
        let baseline = baseline.downcast().expect("a baseline comes back to the expectation it came from");
        Box::pin(Expectation::judge(self, cx, *baseline))
    }
}

/// An expectation of any type.
#[derive(Clone)]
pub struct AnyExpectation(Arc<dyn DynExpectation>);

debug_as!(AnyExpectation, |this| name: this.name());

/// An expectation with what it saw before the workloads started.
pub(crate) struct Captured(AnyExpectation, AnyBaseline);

impl AnyExpectation {
    /// Wraps an expectation.
    #[must_use]
    pub fn new(expectation: impl Expectation) -> Self {
        Self(Arc::new(expectation))
    }

    /// The expectation's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    pub(crate) fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        self.0.problems(outline)
    }

    pub(crate) fn explained_by(&self) -> &'static [&'static str] {
        self.0.explained_by()
    }

    pub(crate) async fn capture(&self, cx: &RunContext) -> Result<Captured, Failure> {
        Ok(Captured(self.clone(), self.0.capture(cx).await?))
    }
}

impl Captured {
    pub(crate) fn name(&self) -> &str {
        self.0.name()
    }

    pub(crate) fn awaited(&self) -> bool {
        self.0.0.awaited()
    }

    pub(crate) async fn judge(self, cx: &RunContext) -> Result<(), Failure> {
        let Self(expectation, baseline) = self;
        expectation.0.judge(cx, baseline).await
    }
}
