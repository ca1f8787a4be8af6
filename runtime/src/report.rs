//! What a run came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::feed::FeedStats;
use crate::scenario::Window;
use crate::workload::Counters;

pub(crate) mod html;
pub(crate) mod index;
mod journal;
mod log;
pub(crate) mod mask;
mod neighbours;
mod percentiles;
mod saved;
pub(crate) use journal::Journal;
pub use journal::{Drive, PhaseTime, Record, SCHEMA, Verdict};
pub(crate) use log::logged_at;
pub use neighbours::Neighbours;
pub use percentiles::Percentiles;
pub(crate) use saved::{Saved, SavedBlock, SavedEvent, Submission, What, read_events};

/// A step of a run, each timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Phase {
    /// Waiting for a cluster, or for room for one.
    Queue,
    /// Starting the nodes.
    Deploy,
    /// Waiting until every node answers and the chain has begun.
    Ready,
    /// Expectations look at the chain before any workload starts.
    Capture,
    /// Workloads act.
    Drive,
    /// What was submitted gets its time to land.
    Settle,
    /// Expectations say what they think.
    Judge,
    /// Giving the cluster back, which is looked over.
    Release,
    /// Ending the nodes.
    Teardown,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "queue",
            Self::Deploy => "deploy",
            Self::Ready => "ready",
            Self::Capture => "capture",
            Self::Drive => "drive",
            Self::Settle => "settle",
            Self::Judge => "judge",
            Self::Release => "release",
            Self::Teardown => "teardown",
        })
    }
}

/// A run whose expectations all held.
///
/// ```
/// # use logos_scenario_runtime::fake;
/// # fake::in_no_time(async {
/// # let (runner, scenario) = fake::example().await?;
/// let report = runner.run(&scenario).await?;
/// println!("{report}");
/// assert_eq!(report.held, ["NoCrash", "ConsensusLiveness"]);
/// assert!(report.chain.blocks > 10 && report.saved.is_none());
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Repeats the run.
    pub seed: u64,
    /// How long each phase took, in order.
    pub phases: Vec<(Phase, Duration)>,
    /// What each workload did.
    pub workloads: BTreeMap<String, Counters>,
    /// The expectations that held.
    pub held: Vec<String>,
    /// What was left of its window, if the run ended because all that it awaited held: it says nothing of later.
    pub saved: Option<Window>,
    /// How the chain fared.
    pub chain: FeedStats,
    /// What workloads and expectations reported, by name.
    pub sections: BTreeMap<String, serde_json::Value>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heights = self.chain.heights.iter().map(|(node, height)| format!("{node} {height}"));
        write!(f, "heights: {}", heights.collect::<Vec<_>>().join(", "))?;
        for (workload, Counters(counters)) in &self.workloads {
            let counters = counters.iter().map(|(name, count)| format!("{count} {name}"));
            write!(f, "; {workload}: {}", counters.collect::<Vec<_>>().join(", "))?;
        }
        match &self.saved {
            Some(saved) => write!(f, "; held until satisfied, {saved} before the window's end: ")?,
            None => write!(f, "; held: ")?,
        }
        f.write_str(&self.held.join(", "))?;
        let phases = self.phases.iter().map(|(phase, took)| format!("{phase} {:.2} s", took.as_secs_f64()));
        write!(f, "; {}; seed {}", phases.collect::<Vec<_>>().join(", "), self.seed)
    }
}
