//! Transactions get from stage to stage as quickly as is asked.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Expectation, TransactionInclusion};
use crate::context::RunContext;
use crate::failure::{Failure, FailureClass, Problem};
use crate::feed::{Block, Event, Subscription};
use crate::node::{HeaderId, TransactionId};
use crate::report::Percentiles;
use crate::scenario::Outline;
use crate::workload::{Fate, TransactionLog};

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransactionStage {
    /// A node accepted it.
    Pooled,
    /// The first block with it was seen.
    Included,
    /// A block with it was seen to be final.
    Final,
}

impl fmt::Display for TransactionStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pooled => "pooled",
            Self::Included => "included",
            Self::Final => "final",
        })
    }
}

/// A share of the transactions that nodes accepted reaches a stage within a time from its submission on.
///
/// One that never gets there is late. One whose time was not over when the run ended counts only if it is there.
/// Unlike [`TransactionInclusion`] this rests on no derivation: the objectives are the test's own. Needs the
/// workload [`Transactions`](crate::workload::Transactions).
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// use logos_scenario::expectation::{TransactionLatency, TransactionStage};
///
/// let objectives = TransactionLatency::default()
///     .at_most(TransactionStage::Pooled, 0.99, Duration::from_millis(500))
///     .at_most(TransactionStage::Included, 0.95, Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, Default)]
pub struct TransactionLatency {
    objectives: Vec<Objective>,
}

#[derive(Clone, Copy, Debug)]
struct Objective {
    stage: TransactionStage,
    share: f64,
    within: Duration,
}

/// Blocks since before the first submission, and when each was seen to be final.
#[derive(Default)]
struct Seen {
    blocks: Vec<Arc<Block>>,
    finalized: HashMap<HeaderId, Instant>,
}

/// How long the transactions took that got to a stage, and how long those have waited that did not.
struct Times {
    took: Vec<Duration>,
    waiting: Vec<Duration>,
}

impl TransactionLatency {
    /// Demands that a share of the transactions, in (0, 1], is at a stage within a time.
    #[must_use]
    pub fn at_most(mut self, stage: TransactionStage, share: f64, within: Duration) -> Self {
        self.objectives.push(Objective { stage, share, within });
        self
    }
}

impl Expectation for TransactionLatency {
    /// Blocks since before the first submission.
    type Baseline = Subscription;

    fn name(&self) -> &str {
        "TransactionLatency"
    }

    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        let place = "transaction latency";
        let mut problems = Vec::new();
        if self.objectives.is_empty() {
            problems.push(Problem::new(
                place,
                "has no objective, so it would prove nothing",
                "add `.at_most(TransactionStage::Included, 0.95, …)`",
            ));
        }
        for Objective { stage, share, .. } in &self.objectives {
            if !(*share > 0.0 && *share <= 1.0) {
                problems.push(Problem::new(
                    place,
                    format!("{share} of the transactions {stage}, expected a share in (0, 1]"),
                    "try 0.95",
                ));
            }
        }
        if !outline.workloads.contains(&"transactions") {
            problems.push(Problem::new(
                place,
                "the scenario submits no transactions",
                "add `.transactions_with(|txs| txs)` before",
            ));
        }
        problems
    }

    fn awaited(&self) -> bool {
        false
    }

    fn explained_by(&self) -> &'static [&'static str] {
        const EXPLAIN: &[&str] = &[TransactionInclusion::NAME];
        EXPLAIN
    }

    async fn capture(&self, cx: &RunContext) -> Result<Subscription, Failure> {
        Ok(cx.feed().subscribe())
    }

    async fn judge(&self, cx: &RunContext, mut events: Subscription) -> Result<(), Failure> {
        let mut seen = Seen::default();
        let settled = cx.settled();
        tokio::pin!(settled);
        loop {
            tokio::select! {
                biased;
                event = events.next() => match event {
                    Event::Block(block) if !block.transactions.is_empty() => seen.blocks.push(block),
                    Event::Finalized { id } => _ = seen.finalized.insert(id, Instant::now()),
                    Event::Block(_) | Event::Reorg { .. } | Event::Lagged { .. } => {}
                },
                () = &mut settled => break,
            }
        }
        self.verdict(cx, &seen)
    }
}

impl TransactionLatency {
    fn verdict(&self, cx: &RunContext, seen: &Seen) -> Result<(), Failure> {
        let log = cx.state::<TransactionLog>();
        let log = log.lock();
        let fates: Vec<_> = log.accepted().collect();
        let mut missed = Vec::new();
        let mut sections = Vec::new();
        for objective in &self.objectives {
            let Objective { stage, share, within } = objective;
            let times = seen.times(*stage, &fates);
            let Some(met) = times.share(*within) else {
                return Err(Failure::new(FailureClass::Test, Expectation::name(self))
                    .expected(format!("transactions that had {} to be {stage}", text(*within)))
                    .seen(format!("none of {} had", fates.len()))
                    .because("nothing is known of their latency then")
                    .try_next("lengthen the window"));
            };
            let took = Percentiles::of(times.took.iter().map(Duration::as_secs_f64));
            sections.push(serde_json::json!({
                "stage": stage, "within": within.as_secs_f64(), "wanted": share, "met": met, "seconds": took,
            }));
            if met < *share {
                let took = took.map_or("never".to_owned(), |took| format!("in seconds: {took}"));
                missed.push(format!("{:.1} % were {stage} within {}; {took}", met * 100.0, text(*within)));
                missed.extend(seen.by_node(*stage, &fates));
            }
        }
        cx.report("transaction_latency", &sections);
        if missed.is_empty() {
            return Ok(());
        }
        let wanted = self.objectives.iter().map(|Objective { stage, share, within }| {
            format!("{} % of the transactions to be {stage} within {}", share * 100.0, text(*within))
        });
        Err(Failure::new(FailureClass::Product, Expectation::name(self))
            .expected(wanted.collect::<Vec<_>>().join("\n"))
            .seen_all(missed)
            .look(cx.directory().join("transactions.jsonl").display().to_string())
            .try_next("compare with the intervals between blocks: latency cannot be below them"))
    }
}

fn text(time: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(time)
}

impl Seen {
    /// The same for those that each node accepted, a line each: where one is slow, it is named by this.
    fn by_node(&self, stage: TransactionStage, fates: &[(&TransactionId, &Fate)]) -> Vec<String> {
        let mut of_nodes = BTreeMap::<_, Vec<_>>::new();
        for fate in fates {
            of_nodes.entry(fate.1.accepted_by().unwrap_or_default()).or_default().push(*fate);
        }
        let line = |(node, fates): (&str, Vec<_>)| {
            let took = Percentiles::of(self.times(stage, &fates).took.iter().map(Duration::as_secs_f64))?;
            Some(format!("accepted by {node}: {took}"))
        };
        of_nodes.into_iter().filter_map(line).collect()
    }

    fn times(&self, stage: TransactionStage, fates: &[(&TransactionId, &Fate)]) -> Times {
        let reached = self.reached(stage);
        let mut times = Times { took: Vec::new(), waiting: Vec::new() };
        for (id, fate) in fates {
            let at = match stage {
                TransactionStage::Pooled => fate.pooled,
                TransactionStage::Included | TransactionStage::Final => reached.get(id).copied(),
            };
            match at {
                Some(at) => times.took.push(at.saturating_duration_since(fate.at)),
                None => times.waiting.push(fate.at.elapsed()),
            }
        }
        times
    }

    /// When transactions in blocks reached a stage first.
    fn reached(&self, stage: TransactionStage) -> HashMap<TransactionId, Instant> {
        let mut reached = HashMap::new();
        for block in &self.blocks {
            let at = match stage {
                TransactionStage::Final => self.finalized.get(&block.id).copied(),
                TransactionStage::Pooled | TransactionStage::Included => Some(block.first_seen),
            };
            for (id, at) in block.transactions.iter().zip(std::iter::repeat(at)) {
                if let Some(at) = at {
                    let first = reached.entry(*id).or_insert(at);
                    *first = at.min(*first);
                }
            }
        }
        reached
    }
}

impl Times {
    /// The share of those that were in time, of all that had the time; `None` if none had.
    fn share(&self, within: Duration) -> Option<f64> {
        let met = self.took.iter().filter(|took| **took <= within).count();
        let late = self.took.len() - met + self.waiting.iter().filter(|waited| **waited > within).count();
        (met + late > 0).then(|| met as f64 / (met + late) as f64)
    }
}
