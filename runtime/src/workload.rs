//! What acts on a cluster while the chain is watched.
//!
//! To write one, implement [`Workload`] and hand it to
//! [`with_workload`](crate::ScenarioBuilderExt::with_workload). Those that ship:
//!
//! - [`Transactions`]: signed transfers at a rate per block.
//! - [`Chaos`]: nodes are stopped, killed, paused and restarted.
//! - [`Blobs`]: blobs at a rate per block, on channels of their own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::context::RunContext;
use crate::deployer::{BoxFuture, Capabilities};
use crate::expectation::AnyExpectation;
use crate::failure::{Failure, Problem};
use crate::replay::Recording;
use crate::scenario::Outline;
use crate::wait::pause;

mod blobs;
pub mod chaos;
mod pace;
mod transactions;
pub use blobs::{
    BlobEntries, BlobFate, BlobLog, BlobSchedule, BlobSummary, Blobs, Dispersed, Retrieval, ScheduledBlob,
};
pub(crate) use blobs::{payload, recalled_messages};
pub use chaos::{Chaos, ChaosLog, Disturbance, FaultPlan};
pub use pace::Due;
pub use transactions::{Entries, Fate, Schedule, Scheduled, Summary, TransactionLog, Transactions};

/// Acts on a cluster while the chain is watched.
///
/// State of one run belongs in [`RunContext::state`], since one scenario may be run many times.
pub trait Workload: Send + Sync + 'static {
    /// The name, unique within a scenario.
    fn name(&self) -> &str;

    /// What the backend must be able to do.
    fn needs(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Everything that makes this workload impossible in the given scenario.
    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        let _ = outline;
        Vec::new()
    }

    /// The expectations that come with it.
    fn expectations(&self) -> Vec<AnyExpectation> {
        Vec::new()
    }

    /// Acts until it is done or [`RunContext::stopping`] says so, and returns what it did. A workload
    /// that did nothing (no counter above zero) fails the scenario: it proves nothing.
    ///
    /// # Errors
    ///
    /// Whatever makes going on pointless.
    fn run(&self, cx: &RunContext) -> impl Future<Output = Result<Counters, Failure>> + Send;

    /// In place of [`run`](Self::run) where a run that is over is judged again: tells the state that it shares with its
    /// expectations what it did, each thing when its [time](Recording::at) comes, from the files that it wrote into the
    /// run's [directory](Recording::directory).
    ///
    /// # Errors
    ///
    /// Why it cannot: the expectations that it brings are not judged then. By default it wrote nothing.
    fn recall(
        &self,
        cx: &RunContext,
        recording: &Recording,
    ) -> impl Future<Output = Result<(), String>> + Send {
        let _ = (cx, recording);
        async { Err(format!("what `{}` did is in no file", self.name())) }
    }
}

/// What a workload did, by name: `submitted` → 90.
///
/// ```
/// use logos_scenario_runtime::Counters;
///
/// let did = Counters::default().with("submitted", 90).with("refused", 0);
/// assert_eq!((did.get("submitted"), did.get("lost")), (Some(90), None));
/// assert!(!did.all_zero());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters(pub std::collections::BTreeMap<String, u64>);

impl Counters {
    /// Sets one counter.
    #[must_use]
    pub fn with(mut self, name: &str, value: u64) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// One counter, if the workload has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// Whether nothing was done.
    #[must_use]
    pub fn all_zero(&self) -> bool {
        self.0.values().all(|&value| value == 0)
    }
}

/// What answers to workloads may take after they are told to stop.
const ANSWERS: Duration = Duration::from_secs(10);

trait DynWorkload: Send + Sync {
    fn name(&self) -> &str;
    fn needs(&self) -> Capabilities;
    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem>;
    fn expectations(&self) -> Vec<AnyExpectation>;
    fn run<'a>(&'a self, cx: &'a RunContext) -> BoxFuture<'a, Result<Counters, Failure>>;
    fn recall<'a>(
        &'a self,
        cx: &'a RunContext,
        recording: &'a Recording,
    ) -> BoxFuture<'a, Result<(), String>>;
}

impl<W: Workload> DynWorkload for W {
    fn name(&self) -> &str {
        Workload::name(self)
    }

    fn needs(&self) -> Capabilities {
        Workload::needs(self)
    }

    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        Workload::problems(self, outline)
    }

    fn expectations(&self) -> Vec<AnyExpectation> {
        Workload::expectations(self)
    }

    fn run<'a>(&'a self, cx: &'a RunContext) -> BoxFuture<'a, Result<Counters, Failure>> {
        Box::pin(Workload::run(self, cx))
    }

    fn recall<'a>(
        &'a self,
        cx: &'a RunContext,
        recording: &'a Recording,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(Workload::recall(self, cx, recording))
    }
}

/// A workload of any type.
#[derive(Clone)]
pub struct AnyWorkload(Arc<dyn DynWorkload>);

debug_as!(AnyWorkload, |this| name: this.name());

impl AnyWorkload {
    /// Wraps a workload.
    #[must_use]
    pub fn new(workload: impl Workload) -> Self {
        Self(Arc::new(workload))
    }

    /// The workload's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    pub(crate) fn needs(&self) -> Capabilities {
        self.0.needs()
    }

    pub(crate) fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        self.0.problems(outline)
    }

    pub(crate) fn expectations(&self) -> Vec<AnyExpectation> {
        self.0.expectations()
    }

    pub(crate) async fn run(&self, cx: &RunContext) -> Result<Counters, Failure> {
        match cx.recording() {
            Some(recording) => self.replay(cx, recording).await,
            None => self.0.run(cx).await,
        }
    }

    /// Comes to what it came to then.
    async fn replay(&self, cx: &RunContext, recording: &Recording) -> Result<Counters, Failure> {
        let outcome = recording.outcome(cx.number(), self.name());
        let recalled = match &outcome {
            None => {
                let nothing = format!("`{}` did nothing in that run", self.name());
                recording.lacks(&nothing);
                Err(nothing)
            }
            Some(_) => tokio::select! {
                recalled = self.0.recall(cx, recording) => recalled,
                () = async { cx.stopping().await; pause(ANSWERS).await } => Ok(()),
            },
        };
        if let Err(why) = recalled {
            self.expectations().iter().for_each(|it| recording.lacks_for(it.name(), &why));
        }
        cx.stopping().await;
        outcome.unwrap_or_else(|| Ok(Counters::default()))
    }
}
