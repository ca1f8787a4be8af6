//! Blobs at a rate per block, on channels of their own.
//!
//! The run opens `channel_rate × (1 + headroom_percent / 100)` channels, rounded up, by an inscription each.
//! `floor(expected_blocks × blob_rate)` blobs are [scheduled](BlobSchedule) by the seed and paced evenly over
//! the window. A channel publishes one blob at a time, since each names the message before it as its parent:
//! the next one waits until that is in a block; channels publish beside each other. A dispersal that an
//! executor does not answer, or fails at, goes to the next executor unchanged, so that whatever became of
//! the first try, nothing else is ever published under that parent. For the same reason what an executor
//! dispersed goes to another one when that executor ends before a block tells of it.

use crate::context::RunContext;
use crate::expectation::{AnyExpectation, BlobAvailability};
use crate::failure::{Failure, Problem};
use crate::replay::Recording;
use crate::scenario::Outline;
use crate::topology::Role;

use super::pace::Pace;
use super::{Counters, Workload};

mod log;
mod publisher;
mod recalled;
mod schedule;
pub use log::{BlobEntries, BlobFate, BlobLog, BlobSummary, Dispersed, Retrieval};
use publisher::Publisher;
pub(crate) use recalled::messages as recalled_messages;
pub(crate) use schedule::payload;
pub use schedule::{BlobSchedule, ScheduledBlob};

/// Publishes blobs at a rate per block, on channels of their own.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
/// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 2)).with_program(FakeProgram);
/// // Two blobs of 4 KiB per block, on three channels and half as many more for headroom.
/// let builder = builder.da_with(|da| da.blob_rate(2).channel_rate(3).headroom_percent(50).blob_size(4096));
/// # builder.with_run_duration(Duration::from_secs(120)).build()?;
/// # Ok::<(), logos_scenario::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Blobs {
    channel_rate: u64,
    blob_rate: u64,
    headroom_percent: u64,
    blob_size: usize,
}

impl Default for Blobs {
    fn default() -> Self {
        Self { channel_rate: 1, blob_rate: 1, headroom_percent: 20, blob_size: 1024 }
    }
}

impl Blobs {
    /// Sets how many channels there are, without headroom; 1 by default.
    #[must_use]
    pub fn channel_rate(mut self, channels: u64) -> Self {
        self.channel_rate = channels;
        self
    }

    /// Sets the blobs per block over all channels, on average over the window; 1 by default.
    #[must_use]
    pub fn blob_rate(mut self, per_block: u64) -> Self {
        self.blob_rate = per_block;
        self
    }

    /// Sets how many more channels are opened, in percent and rounded up; 20 by default. Since a channel
    /// publishes one blob at a time, more channels carry more blobs.
    #[must_use]
    pub fn headroom_percent(mut self, percent: u64) -> Self {
        self.headroom_percent = percent;
        self
    }

    /// Sets the size of a blob in bytes, 1,024 by default. It is rounded up to what executors disperse, and the
    /// report says to what.
    #[must_use]
    pub fn blob_size(mut self, bytes: usize) -> Self {
        self.blob_size = bytes;
        self
    }

    fn channels(&self) -> usize {
        let percent = self.headroom_percent.saturating_add(100);
        usize::try_from(self.channel_rate.saturating_mul(percent).div_ceil(100)).unwrap_or(usize::MAX)
    }
}

impl Workload for Blobs {
    fn name(&self) -> &str {
        "blobs"
    }

    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut zero = |what: &str, is_zero: bool, try_next: &str| {
            if is_zero {
                problems.push(Problem::new(format!("blobs.{what}"), "0, expected at least 1", try_next));
            }
        };
        zero("channel_rate", self.channel_rate == 0, "try `.channel_rate(1)`");
        zero("blob_rate", self.blob_rate == 0, "try `.blob_rate(1)` per block");
        zero("blob_size", self.blob_size == 0, "try `.blob_size(1024)` bytes");
        if !outline.topology.nodes().iter().any(|node| node.role == Role::Executor) {
            problems.push(Problem::new(
                "blobs",
                "the topology has no executor, and only executors disperse blobs",
                "give it `executors(1)` or more",
            ));
        }
        if !outline.keeps_data {
            problems.push(Problem::new(
                "blobs",
                "the node program keeps no data available",
                "implement `NodeProgram::data`, or leave `da_with` out",
            ));
        }
        problems
    }

    fn expectations(&self) -> Vec<AnyExpectation> {
        vec![AnyExpectation::new(BlobAvailability)]
    }

    async fn run(&self, cx: &RunContext) -> Result<Counters, Failure> {
        let executors = cx.node_clients().with_role(Role::Executor).len();
        let channels = self.channels();
        let schedule = BlobSchedule::new(cx.run_seed(), Pace::of(cx, self.blob_rate), channels, executors);
        Publisher::new(cx, channels, self.blob_size).run(&schedule).await
    }

    async fn recall(&self, cx: &RunContext, recording: &Recording) -> Result<(), String> {
        recalled::recall(cx, recording).await
    }
}
