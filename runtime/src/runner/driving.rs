//! From the start of the workloads to the verdict: drive, settle, judge.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::ready::STAGE;
use super::tasks::Tasks;
use crate::context::{RunContext, Stage};
use crate::env;
use crate::expectation::bound::{FALSE_FAILURES, Growth};
use crate::expectation::presence::Presence;
use crate::failure::{Failure, FailureClass, RunFailed, explain};
use crate::feed::NodeView;
use crate::report::{Drive, Phase, Report};
use crate::scenario::Window;
use crate::wait;
use crate::workload::Counters;

/// What workloads may take to stop.
const STOPPING: Duration = Duration::from_secs(30);
/// What expectations may take to judge: some await that a node which they stopped is ready again.
const JUDGING: Duration = STAGE.saturating_add(STOPPING);

/// A run between its start and its end. Dropping it ends the workloads without judging.
pub struct Driving {
    pub(super) cx: RunContext,
    pub(super) judges: Tasks<()>,
    /// Names of the expectations, and of those that explain the failure of each.
    pub(super) explained_by: Vec<(String, &'static [&'static str])>,
    /// Names of the expectations that end the run when all of them hold; none where the window does.
    pub(super) awaited: Vec<String>,
    pub(super) workloads: Tasks<Counters>,
    pub(super) phases: Vec<(Phase, Duration)>,
    pub(super) since: Instant,
    pub(super) base: u64,
    pub(super) seed: u64,
    pub(super) unfinished: Unfinished,
}

debug_as!(Driving, |this| context: this.cx);

/// Cancels a run that is dropped before it was judged.
pub(super) struct Unfinished(Option<RunContext>);

impl Unfinished {
    pub(super) fn new(cx: &RunContext) -> Self {
        Self(Some(cx.clone()))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(cx) = &self.0 {
            cx.cut_short();
        }
    }
}

impl Driving {
    /// What the test may see and do meanwhile.
    #[must_use]
    pub fn context(&self) -> &RunContext {
        &self.cx
    }

    /// Awaits the window's end, lets things settle, and judges.
    ///
    /// ```
    /// # use logos_scenario_runtime::fake;
    /// # fake::in_no_time(async {
    /// # let (runner, scenario) = fake::example().await?;
    /// let driving = runner.start(&scenario).await?;
    /// assert_eq!(driving.context().topology().nodes().len(), 3);
    /// let report = driving.finish().await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// Every expectation that does not hold, and every workload that failed or did nothing.
    pub async fn finish(mut self) -> Result<Report, RunFailed> {
        let late = self.drive().await;
        let saved = self.is_satisfied().then(|| self.window_left());
        let certain = self.judges.failed();
        self.timed(Phase::Drive, self.since);

        let began = self.enter(Phase::Settle);
        self.cx.advance(Stage::Settle);
        self.workloads.join_within(env::settings().scaled(STOPPING), "to stop when it was told to").await;
        self.settle().await;
        self.timed(Phase::Settle, began);

        let began = self.enter(Phase::Judge);
        self.cx.advance(Stage::Settled);
        self.judges.join_within(env::settings().scaled(JUDGING), "to judge when all had settled").await;
        self.timed(Phase::Judge, began);
        self.conclude(late, saved, &certain)
    }

    /// Drives until the window ends, or something failed for certain, which cuts the run short. The
    /// result says if the chain did not reach the blocks it was given.
    async fn drive(&mut self) -> Option<Failure> {
        let window = window_end(&self.cx, self.since, self.base);
        let over = self.cx.clone();
        let over = over.replayed_to(Phase::Settle);
        tokio::pin!(window, over);
        let mut satisfied = self.cx.all_satisfied();
        loop {
            tokio::select! {
                late = &mut window => return late,
                () = &mut over => {
                    self.cut_short_as_then();
                    return None;
                }
                () = self.workloads.join_next(), if !self.workloads.is_empty() => {}
                () = self.judges.join_next(), if !self.judges.is_empty() => {}
                _ = satisfied.changed() => {}
            }
            if self.workloads.has_failed() || self.judges.has_failed() {
                self.cx.cut_short();
                return None;
            }
            if self.is_satisfied() {
                return None;
            }
        }
    }

    /// A run that is over ended here, whatever would have come.
    fn cut_short_as_then(&self) {
        let drive = self.cx.recording().and_then(|recording| recording.drive(self.cx.number()));
        if drive.is_some_and(|drive| drive.cut_short) {
            self.cx.cut_short();
        }
    }

    fn is_satisfied(&self) -> bool {
        let satisfied = self.cx.all_satisfied();
        let holds = |name: &String| satisfied.borrow().contains(name) || self.judges.has_succeeded(name);
        !self.awaited.is_empty() && self.awaited.iter().all(holds)
    }

    /// What is left of the window by now.
    fn window_left(&self) -> Window {
        match self.cx.window() {
            Window::Time(time) => {
                let left = time.saturating_sub(self.since.elapsed());
                Window::Time(Duration::from_millis(left.as_millis() as u64 / 100 * 100))
            }
            Window::Blocks(blocks) => {
                Window::Blocks((self.base + blocks).saturating_sub(self.cx.feed().best_height()))
            }
        }
    }

    /// Waits until nothing is in flight and the tips agree, at most until a healthy chain has made
    /// `lag allowance + 5` more blocks. Whether that came to pass is for the expectations to say.
    async fn settle(&self) {
        let cx = &self.cx;
        let settled = wait::until("nothing in flight and tips agreeing", cx.time_to_land(), || async {
            let views = cx.feed().nodes();
            let apart = crate::expectation::disagreements(cx.feed(), &views, 0);
            match (cx.pending(), apart.as_slice()) {
                (0, []) => Ok(()),
                (pending, apart) => Err(format!("{pending} in flight; {}", apart.join("; "))),
            }
        });
        if cx.was_cut_short() {
            return;
        }
        tokio::select! {
            settled = settled => if let Err(unsettled) = settled {
                tracing::debug!("{unsettled}");
            },
            () = cx.replayed_to(Phase::Judge) => {}
        }
    }

    fn conclude(
        self,
        late: Option<Failure>,
        saved: Option<Window>,
        certain: &[String],
    ) -> Result<Report, RunFailed> {
        let Self { cx, judges, explained_by, workloads, phases, seed, mut unfinished, .. } = self;
        unfinished.0 = None;
        let mut failures: Vec<Failure> = late.into_iter().collect();
        let mut held = Vec::new();
        for (name, verdict) in judges.outcomes() {
            match verdict {
                Ok(()) => held.push(name),
                Err(failure) => failures.push(failure),
            }
        }
        // What ended the run says more than what had no time to come true.
        failures.sort_by_key(|failure| !certain.contains(&failure.subject));
        let mut did = BTreeMap::new();
        for (name, outcome) in workloads.outcomes() {
            match outcome {
                Ok(counters) if counters.all_zero() && !cx.was_cut_short() => failures.push(idle(&name)),
                Ok(counters) => _ = did.insert(name, counters),
                Err(failure) => failures.push(failure),
            }
        }
        explain(&mut failures, |failure| {
            let expectation = explained_by.iter().find(|(name, _)| *name == failure.subject);
            expectation.map_or(crate::expectation::EXPLAIN_A_LOSS, |(_, explained_by)| explained_by)
        });
        let (chain, sections) = (cx.feed().stats(), cx.sections());
        cx.journal().leave();
        cx.journal().drive(Drive {
            held: held.clone(),
            failures: failures.clone(),
            workloads: did.clone(),
            chain: chain.clone(),
            sections: sections.clone(),
            cut_short: cx.was_cut_short(),
            saved: saved.map(|window| window.to_string()),
        });
        if failures.is_empty() {
            return Ok(Report { seed, phases, workloads: did, held, saved, chain, sections });
        }
        Err(RunFailed { failures })
    }

    fn enter(&self, phase: Phase) -> Instant {
        self.cx.journal().enter(phase);
        Instant::now()
    }

    fn timed(&mut self, phase: Phase, began: Instant) {
        self.phases.push((phase, began.elapsed()));
    }
}

fn idle(workload: &str) -> Failure {
    Failure::new(FailureClass::Test, workload)
        .expected("the workload to do something")
        .seen("it did nothing")
        .because("a scenario whose workload did nothing proves nothing")
        .try_next("lengthen the window, or raise the rate")
}

/// Awaits the end of the window; says so if the chain misses the blocks it was given.
async fn window_end(cx: &RunContext, since: Instant, base: u64) -> Option<Failure> {
    let Window::Blocks(blocks) = cx.window() else {
        wait::pause_until(since + cx.window().at_most(cx.topology().consensus(), &cx.growth())).await;
        return None;
    };
    let presence = Presence::capture(cx).await;
    let mut changes = cx.feed().changes();
    let grown = async { while cx.feed().best_height() < base + blocks && changes.changed().await.is_ok() {} };
    tokio::select! {
        biased;
        () = grown => return None,
        never = presence.follow(cx) => match never {},
        () = was_sure_of(cx, &presence, since, blocks) => {}
    }
    Some(
        Failure::new(FailureClass::Product, "window")
            .expected(format!(
                "the chain to grow by {blocks} blocks within {}, which a healthy chain with the stake that was online \
                 misses once in a million",
                humantime::format_duration(Duration::from_secs(since.elapsed().as_secs()))
            ))
            .seen(format!("{} blocks", cx.feed().best_height() - base))
            .seen_all(cx.feed().nodes().iter().map(NodeView::describe))
            .look(cx.logs_place()),
    )
}

/// Completes when a healthy chain was sure to have made so many blocks, given who took part.
async fn was_sure_of(cx: &RunContext, presence: &Presence, since: Instant, blocks: u64) {
    let first = cx.clock().now();
    let slot = cx.topology().consensus().slot;
    let mut end = since + cx.window().at_most(cx.topology().consensus(), &cx.growth());
    loop {
        wait::pause_until(end).await;
        let each = presence.growth(cx, first..cx.clock().now());
        // The slots in which the window begins and ends are not whole.
        let whole = (each.len() as u64).saturating_sub(2);
        let growth = Growth::mean(&each);
        if growth.is_some_and(|growth| growth.blocks_in(whole, FALSE_FAILURES) >= blocks) {
            return;
        }
        end += slot;
    }
}
