//! Who was disturbed takes part again.

use std::time::Duration;

use tokio::time::Instant;

use super::Expectation;
use crate::context::RunContext;
use crate::env;
use crate::failure::{Failure, FailureClass};
use crate::feed::{BlockFeed, NodeView};
use crate::wait::pause_until;
use crate::workload::{ChaosLog, Disturbance};

/// Every node that was restarted or resumed answers, and follows the best chain again.
///
/// A node has a minute to answer, as at the start of a cluster. From then on it has the time in which a healthy
/// chain is sure to make `lag_allowance + 5` blocks, by the [bound](super::bound), to be within
/// `lag_allowance` blocks of the best tip, on the same chain. Brought by [`Chaos`](crate::workload::Chaos).
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::fake::{self, FakeDeployer, FakeProgram};
/// # use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
/// fake::in_no_time(async {
///     let scenario = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 0))
///         .with_program(FakeProgram)
///         .enable_node_control()
///         .chaos_with(|chaos| chaos.lag_allowance(3).node("validator-1").at_height(5).kill().restart_after_blocks(3))
///         .with_run_duration(Duration::from_secs(120))
///         .build()?;
///     let report = FakeDeployer::default().run(&scenario).await?;
///     assert!(report.held.iter().any(|name| name == "Recovery"));
///     Ok(())
/// });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    lag_allowance: u64,
}

impl Default for Recovery {
    fn default() -> Self {
        Self { lag_allowance: 2 }
    }
}

/// What a node may take to answer after it was started.
const ANSWERS: Duration = Duration::from_secs(60);

impl Recovery {
    /// Its name.
    pub(crate) const NAME: &str = "Recovery";

    /// Sets how many blocks a node may be behind the best when it counts as recovered; 2 by default.
    #[must_use]
    pub fn lag_allowance(mut self, blocks: u64) -> Self {
        self.lag_allowance = blocks;
        self
    }
}

impl Expectation for Recovery {
    type Baseline = ();

    fn name(&self) -> &str {
        Self::NAME
    }

    async fn capture(&self, cx: &RunContext) -> Result<(), Failure> {
        let log = cx.state::<ChaosLog>();
        cx.await_pending(move || log.recovering());
        Ok(())
    }

    async fn judge(&self, cx: &RunContext, (): ()) -> Result<(), Failure> {
        let log = cx.state::<ChaosLog>();
        let (mut done, mut changes) = (log.changes(), cx.feed().changes());
        let settled = cx.settled();
        tokio::pin!(settled);
        loop {
            let due = self.look(cx, &log);
            let next = due.iter().map(|(deadline, _)| *deadline).min();
            if let Some((_, late)) = due.iter().find(|(deadline, _)| *deadline <= Instant::now()) {
                return Err(self.failure(cx, late));
            }
            tokio::select! {
                biased;
                () = &mut settled => return self.verdict(cx, &log),
                _ = done.changed() => {}
                _ = changes.changed() => {}
                () = pause_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }
}

impl Recovery {
    /// Notes who recovered; returns those that did not yet, and until when each has to.
    fn look(&self, cx: &RunContext, log: &ChaosLog) -> Vec<(Instant, Disturbance)> {
        let mut views = cx.feed().nodes();
        let apart = cx.disturbing().changes().borrow().sides(cx.topology()).apart();
        // Who is cut off has a chain of its own, which may be as high.
        views.retain(|view| !apart.contains(&*view.name));
        let mut due = Vec::new();
        let mut disturbances = log.lock();
        let down: Vec<String> =
            disturbances.iter().filter(|it| it.back.is_none()).map(|it| it.node.clone()).collect();
        for it in disturbances.iter_mut().filter(|it| it.recovered.is_none()) {
            let Some(mut back) = it.back else { continue };
            if apart.contains(&it.node) || down.contains(&it.node) {
                // Something else keeps it away meanwhile: its time begins anew when that is over.
                back = Instant::now();
                (it.back, it.answers) = (Some(back), None);
                continue;
            }
            let view = views.iter().find(|view| *view.name == *it.node);
            let answer =
                view.filter(|view| view.error.is_none() && view.answered.is_some_and(|at| at > back));
            if answer.is_some_and(|view| self.follows(cx.feed(), view, &views)) {
                it.recovered = Some(Instant::now());
                let took = back.elapsed().as_secs_f64();
                log.changed();
                cx.record("recovered", &serde_json::json!({ "node": it.node, "seconds": took }));
                continue;
            }
            let answering = it.answering(answer.is_some());
            let deadline = match answering {
                Some(since) => since + env::settings().scaled(cx.time_to_land()),
                None => back + env::settings().scaled(ANSWERS),
            };
            due.push((deadline, it.clone()));
        }
        due
    }

    /// Whether a node is on the best chain, and near enough to its tip.
    fn follows(&self, feed: &BlockFeed, view: &NodeView, views: &[NodeView]) -> bool {
        let tip = |view: &NodeView| view.info.as_ref().map(|info| (info.height, info.tip));
        let (Some(own), Some(best)) =
            (tip(view), views.iter().filter_map(tip).max_by_key(|(height, _)| *height))
        else {
            return false;
        };
        feed.common_height(own.1, best.1).min(own.0) + self.lag_allowance >= best.0
    }

    fn verdict(&self, cx: &RunContext, log: &ChaosLog) -> Result<(), Failure> {
        match self.look(cx, log).first() {
            // Who came back when a run was cut short did not have its time.
            Some((_, late)) if !cx.was_cut_short() => Err(self.failure(cx, late)),
            _ => Ok(()),
        }
    }

    fn failure(&self, cx: &RunContext, late: &Disturbance) -> Failure {
        let node = &late.node;
        let since = late.back.map_or(0.0, |back| back.elapsed().as_secs_f64());
        Failure::new(FailureClass::Product, Self::NAME)
            .expected(format!(
                "{node} to answer within {} of its return, and to be within {} blocks of the best tip {} after that",
                humantime::format_duration(env::settings().scaled(ANSWERS)),
                self.lag_allowance,
                humantime::format_duration(env::settings().scaled(cx.time_to_land()))
            ))
            .seen(format!("it came back {since:.1} s ago, and is not"))
            .seen_all(cx.feed().nodes().iter().map(NodeView::describe))
            .because("a node that comes back with its data has to catch up with the chain that went on")
            .look(cx.log_place(node))
            .try_next(format!("read {node}'s log from its last start on: does it reach its peers, and does it ask them for blocks?"))
    }
}
