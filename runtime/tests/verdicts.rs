//! Each expectation holds on a healthy fake cluster and fails on one with the fault it is for.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use logos_scenario_runtime::expectation::condition::{
    Answer, Condition, always, eventually, height_at_least, nodes_agree, sometimes, transaction_included,
};
use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram, Fault};
use logos_scenario_runtime::node::{Note, Transfer, Wallet};
use logos_scenario_runtime::plan::{Genesis, NodePlanning, PlannedNode};
use logos_scenario_runtime::report::{Phase, Record, Verdict};
use logos_scenario_runtime::workload::Summary;
use logos_scenario_runtime::{
    BlockInterval, ChainAgreement, Counters, Deployer, Failure, FailureClass, LogPattern, MetricThreshold,
    NodeProgram, Problem, Report, ResourceUse, RunContext, RunFailed, ScenarioBuilder, ScenarioBuilderExt,
    Topology, TransactionId, TransactionLatency, TransactionStage, Window, Workload, wait,
};

fn builder() -> ScenarioBuilder {
    ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1))
        .with_program(FakeProgram)
        .with_seed(1)
        .with_run_duration(Duration::from_secs(120))
}

/// Everything the framework judges by default and on request.
fn full() -> ScenarioBuilder {
    builder()
        .transactions_with(|tx| tx.rate(5).users(20))
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default())
}

async fn run(deployer: FakeDeployer, builder: ScenarioBuilder) -> Result<Report, RunFailed> {
    let scenario = builder.build().expect("the scenario is valid");
    let runner = deployer.deploy(&scenario).await?;
    let outcome = runner.run(&scenario).await;
    runner.teardown().await?;
    outcome
}

/// Runs everything on a faulty cluster: just the named expectations fail, with these texts.
async fn check_fault(node: &str, fault: Fault, subjects: &[&str], texts: &[&str]) {
    let failed = run(FakeDeployer::default().with_fault(node, 5, fault), full())
        .await
        .expect_err("the fault is found");
    let found: Vec<_> = failed.failures.iter().map(|failure| failure.subject.as_str()).collect();
    assert_eq!(found, subjects, "{failed}");
    for text in texts {
        assert!(failed.to_string().contains(text), "no `{text}` in:\n{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_healthy_chain_passes() {
    let report = run(FakeDeployer::default(), full()).await.unwrap();
    let mut held = report.held.clone();
    held.sort();
    assert_eq!(held, ["ChainAgreement", "ConsensusLiveness", "NoCrash", "TransactionInclusion"]);
    assert_eq!(report.workloads["transactions"].0["submitted"], 270);
    assert_eq!(report.workloads["transactions"].0["rejected"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_run_at_once() {
    let began = tokio::time::Instant::now();
    check_fault(
        "validator-1",
        Fault::Panic,
        &["NoCrash"],
        &["validator-1 ended by itself with exit code 101", "panicked at fake.rs:1:1", "the fault fired"],
    )
    .await;
    assert!(began.elapsed() < Duration::from_secs(60), "the window is 120 s, the panic came after 5 blocks");
}

#[tokio::test(start_paused = true)]
async fn dropped_transactions_are_named() {
    check_fault(
        "validator-0",
        Fault::DropTransactions,
        &["TransactionInclusion"],
        &["lost: ", "accepted by validator-0 in slot ", "never in a block"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_not_included_because_no_node_answers_any_more() {
    let silent = ["validator-0", "validator-1", "validator-2", "executor-0"]
        .into_iter()
        .fold(FakeDeployer::default(), |deployer, node| deployer.with_fault(node, 20, Fault::Closed));
    let failed = run(silent, builder().transactions_with(|tx| tx.rate(5).users(20))).await.unwrap_err();
    assert!(failed.to_string().contains("TransactionInclusion failed (product)"), "{failed}");
    let included = failed
        .to_string()
        .split_once(" included")
        .and_then(|(text, _)| text.rsplit(' ').next()?.parse().ok());
    assert!(included.is_some_and(|included: u64| included > 50), "those before are: {failed}");
}

#[tokio::test(start_paused = true)]
async fn a_split_chain_is_seen_by_ancestry() {
    check_fault(
        "validator-2",
        Fault::Fork,
        &["ChainAgreement", "ConsensusLiveness", "TransactionInclusion"],
        &[
            "hold different blocks irreversible",
            "forked after height",
            "ConsensusLiveness failed (product), as a consequence of ChainAgreement\n",
            "TransactionInclusion failed (product), as a consequence of ChainAgreement and ConsensusLiveness\n",
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_stands_still_fails_before_the_window_ends() {
    let deployer = ["validator-0", "validator-1", "validator-2", "executor-0"]
        .into_iter()
        .fold(FakeDeployer::default(), |deployer, node| deployer.with_fault(node, 5, Fault::Idle));
    let began = tokio::time::Instant::now();
    let failed = run(deployer, builder().expect_consensus_liveness()).await.unwrap_err();
    assert_eq!(failed.failures.len(), 1, "{failed}");
    assert!(failed.to_string().contains("no block for "), "{failed}");
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_window_in_blocks_ends_with_them() {
    let builder =
        builder().with_run_blocks(30).transactions_with(|tx| tx.rate(2)).expect_consensus_liveness();
    let report = run(FakeDeployer::default(), builder).await.unwrap();
    assert!(report.workloads["transactions"].0["submitted"] >= 58, "{report}");
    assert!(
        drive(&report) > Duration::from_secs(50) && drive(&report) < Duration::from_secs(120),
        "{report}"
    );
}

/// How long the drive took.
fn drive(report: &Report) -> Duration {
    let (_, drive) = report.phases.iter().find(|(phase, _)| *phase == Phase::Drive).expect("it was driven");
    *drive
}

#[tokio::test(start_paused = true)]
async fn a_satisfied_run_ends_when_the_chain_grew_by_what_its_window_demands() {
    let report = run(FakeDeployer::default(), builder().expect_consensus_liveness().until_satisfied());
    let report = report.await.unwrap();
    assert!(report.held.contains(&"ConsensusLiveness".to_owned()), "{report}");
    let Some(Window::Time(saved)) = report.saved else { panic!("{report}") };
    assert!(
        (Duration::from_secs(120) - drive(&report)).abs_diff(saved) < Duration::from_millis(100),
        "{report}"
    );
    // The window is 60 slots, of which a healthy chain is sure to fill more than 30.
    assert!(
        drive(&report) > Duration::from_secs(60) && drive(&report) < Duration::from_secs(110),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_satisfied_run_ends_when_all_that_was_planned_is_included() {
    let builder = full().until_satisfied();
    let report = run(FakeDeployer::default(), builder).await.unwrap();
    let transactions: Summary = serde_json::from_value(report.sections["transactions"].clone()).unwrap();
    assert_eq!((transactions.planned, transactions.included), (270, 270), "{}", transactions.counts());
    assert!(drive(&report) <= Duration::from_secs(120), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_satisfied_while_a_node_stays_behind() {
    let began = tokio::time::Instant::now();
    let deployer = FakeDeployer::default().with_fault("validator-2", 5, Fault::Fork);
    let builder = builder().expect_consensus_liveness().until_satisfied();
    let failed = run(deployer, builder).await.unwrap_err();
    assert!(failed.to_string().contains("validator-2 grew by "), "{failed}");
    assert!(began.elapsed() >= Duration::from_secs(120), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_satisfied_while_transactions_are_dropped() {
    let began = tokio::time::Instant::now();
    let deployer = FakeDeployer::default().with_fault("validator-0", 5, Fault::DropTransactions);
    let failed = run(deployer, full().until_satisfied()).await.unwrap_err();
    assert!(failed.to_string().contains("TransactionInclusion failed (product)"), "{failed}");
    assert!(began.elapsed() >= Duration::from_secs(120), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_satisfied_is_judged_until_the_run_ends() {
    // Of 300 slots a healthy chain is sure to fill about 240; it stops after them, while transactions still wait.
    let deployer = ["validator-0", "validator-1", "validator-2", "executor-0"]
        .into_iter()
        .fold(FakeDeployer::default(), |deployer, node| deployer.with_fault(node, 250, Fault::Idle));
    let builder = full().with_run_duration(Duration::from_secs(600)).until_satisfied();
    let failed = run(deployer, builder).await.unwrap_err();
    assert!(failed.to_string().contains("ConsensusLiveness failed (product)"), "{failed}");
    assert!(failed.to_string().contains("no block for "), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn what_a_node_missed_by_our_hand_is_not_held_against_it_or_the_chain() {
    let scenario = full().build().unwrap();
    let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
    let driving = runner.start(&scenario).await.unwrap();
    let height = driving.context().feed().best_height();
    grown(driving.context(), height + 5).await;
    runner.control().stop("validator-1").await.unwrap();
    grown(driving.context(), height + 20).await;
    runner.control().start("validator-1").await.unwrap();
    let report = driving.finish().await.unwrap();
    assert!(report.held.contains(&"ConsensusLiveness".to_owned()), "{report}");
    let transactions: Summary = serde_json::from_value(report.sections["transactions"].clone()).unwrap();
    assert_eq!((transactions.included, transactions.rejected), (270, 0), "{}", transactions.counts());
    runner.teardown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_end_of_a_run_is_told_when_nobody_judges_it() {
    let scenario = builder().expect_consensus_liveness().build().unwrap();
    let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
    let dropped = runner.start(&scenario).await.unwrap();
    let cx = dropped.context().clone();
    assert!(!cx.was_cut_short());
    drop(dropped);
    tokio::time::timeout(Duration::from_secs(1), cx.cancelled()).await.expect("it was given up");
    let judged = runner.start(&scenario).await.unwrap();
    let cx = judged.context().clone();
    judged.finish().await.unwrap();
    assert!(!cx.was_cut_short(), "it was judged");
    runner.teardown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_test_without_node_control_controls_no_nodes() {
    let scenario = builder().expect_consensus_liveness().build().unwrap();
    let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
    let driving = runner.start(&scenario).await.unwrap();
    let refused = driving.context().control().expect_err("it is not declared");
    assert!(refused.to_string().contains("`#[scenario(node_control)]`"), "{refused}");
    drop(driving);
    runner.teardown().await.unwrap();
}

async fn grown(cx: &RunContext, height: u64) {
    let grown = || async { if cx.feed().best_height() >= height { Ok(()) } else { Err("not yet") } };
    wait::until("a height", Duration::from_secs(600), grown).await.expect("the chain grows");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_in_any_phase_leaves_nothing() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    // Ready takes about two slots of 2 s, the window 120 s, and settling some.
    for milliseconds in [0, 10, 1_000, 3_000, 10_000, 60_000, 123_000, 124_500] {
        let cut = Duration::from_millis(milliseconds);
        let _ = tokio::time::timeout(cut, run(FakeDeployer::default(), full())).await;
        let gone = || async {
            let alive = metrics.num_alive_tasks();
            if alive == before { Ok(()) } else { Err(format!("{alive} tasks, {before} before")) }
        };
        wait::until("nothing left of the run", Duration::from_secs(5), gone).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_report_tells_the_run() {
    let scenario = full().build().unwrap();
    let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
    let driving = runner.start(&scenario).await.unwrap();
    let directory = driving.context().directory().to_owned();
    let read = || {
        let text = std::fs::read_to_string(directory.join("report.json")).unwrap();
        serde_json::from_str::<Record>(&text).unwrap()
    };
    assert_eq!(read().verdict, Verdict::Running);
    driving.finish().await.unwrap();
    runner.teardown().await.unwrap();
    let record = read();
    assert_eq!((record.verdict, record.seed, record.drives.len()), (Verdict::Passed, 1, 1));
    let phases: Vec<_> = record.phases.iter().map(|phase| phase.phase).collect();
    use Phase::{Capture, Deploy, Drive, Judge, Ready, Settle, Teardown};
    assert_eq!(phases, [Deploy, Ready, Capture, Drive, Settle, Judge, Teardown]);
    let transactions: Summary =
        serde_json::from_value(record.drives[0].sections["transactions"].clone()).unwrap();
    assert_eq!((transactions.planned, transactions.included), (270, 270));
    assert!(transactions.finalized > 200 && transactions.inclusion_slots.unwrap().p50 <= 3.0);
    let listed = std::fs::read_to_string(directory.join("transactions.jsonl")).unwrap();
    assert_eq!(listed.lines().count(), 270);
    let events = std::fs::read_to_string(directory.join("events.jsonl")).unwrap();
    assert!(events.lines().filter(|line| line.contains(r#""event":"block""#)).count() > 40);
}

/// A workload that never stops.
struct Stubborn;

impl Workload for Stubborn {
    fn name(&self) -> &str {
        "stubborn"
    }

    async fn run(&self, _: &RunContext) -> Result<Counters, Failure> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_does_not_stop_is_ended_and_named() {
    let failed = run(FakeDeployer::default(), builder().with_workload(Stubborn)).await.unwrap_err();
    assert_eq!(failed.failures.len(), 1, "{failed}");
    assert!(failed.to_string().contains("stubborn failed (test)"), "{failed}");
    assert!(failed.to_string().contains("to stop when it was told to"), "{failed}");
}

/// The fake program with a wallet that takes as long as it is let.
#[derive(Clone, Default)]
struct SlowWallet(Arc<(Mutex<bool>, Condvar)>);

impl SlowWallet {
    fn let_go(&self) {
        *self.0.0.lock().expect("nobody panics with it") = true;
        self.0.1.notify_all();
    }
}

impl NodeProgram for SlowWallet {
    fn name(&self) -> &str {
        "slow"
    }

    fn identity(&self) -> String {
        "1".to_owned()
    }

    fn plan(&self, node: &NodePlanning<'_>) -> Result<PlannedNode, Problem> {
        FakeProgram.plan(node)
    }

    fn wallet(&self) -> Option<&dyn Wallet> {
        Some(self)
    }

    fn message_delay(&self, _: &logos_scenario_runtime::Topology) -> Duration {
        Duration::ZERO
    }
}

impl Wallet for SlowWallet {
    fn genesis_notes(&self, genesis: &Genesis) -> Vec<Note> {
        FakeProgram.genesis_notes(genesis)
    }

    fn transfer(&self, owner: usize, input: &Note, outputs: &[(usize, u64)]) -> Transfer {
        let (released, changed) = &*self.0;
        let released = released.lock().expect("nobody panics with it");
        drop(changed.wait_while(released, |released| !*released).expect("nobody panics with it"));
        FakeProgram.transfer(owner, input, outputs)
    }

    fn transaction_id(&self, transaction: &serde_json::Value) -> Result<TransactionId, String> {
        FakeProgram.transaction_id(transaction)
    }
}

#[tokio::test]
async fn a_submitter_that_is_too_slow_is_no_failure_of_the_chain() {
    let program = SlowWallet::default();
    let scenario = ScenarioBuilder::topology_with(|t| t.validators(2).slot(Duration::from_millis(100)))
        .with_program(program.clone())
        .transactions_with(|tx| tx.rate(2))
        .with_run_duration(Duration::from_secs(2))
        .build()
        .unwrap();
    let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
    let failed = runner.run(&scenario).await.unwrap_err();
    program.let_go();
    runner.teardown().await.unwrap();
    assert_eq!((failed.failures.len(), failed.class()), (1, FailureClass::Infrastructure), "{failed}");
    assert!(failed.to_string().contains("36 were due and not submitted"), "{failed}");
    assert!(failed.to_string().contains("the submitter was too slow"), "{failed}");
}

fn never_high(cx: RunContext) -> std::future::Ready<Answer> {
    let height = cx.feed().best_height();
    std::future::ready(Answer::of(height < 20, || format!("height {height}")))
}

fn unknown(_: RunContext) -> std::future::Ready<Answer> {
    std::future::ready(Answer::Unknown("nobody can say".to_owned()))
}

fn fixed(answer: &Answer) -> impl Condition + use<> {
    let answer = answer.clone();
    move |_: RunContext| std::future::ready(answer.clone())
}

#[tokio::test(start_paused = true)]
async fn what_is_unknown_decides_nothing_that_the_other_decides() {
    let scenario = builder().expect_consensus_liveness().build().unwrap();
    let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
    let driving = runner.start(&scenario).await.unwrap();
    let cx = driving.context();
    let answers = [Answer::False("0".into()), Answer::Unknown("1".into()), Answer::True("2".into())];
    let place = |answer: Answer| {
        answers.iter().position(|one| std::mem::discriminant(one) == std::mem::discriminant(&answer))
    };
    for (left, one) in answers.iter().enumerate() {
        assert_eq!(place(fixed(one).not().ask(cx).await), Some(2 - left));
        for (right, other) in answers.iter().enumerate() {
            // False is below unknown, and true above it.
            assert_eq!(place(fixed(one).and(fixed(other)).ask(cx).await), Some(left.min(right)));
            assert_eq!(place(fixed(one).or(fixed(other)).ask(cx).await), Some(left.max(right)));
        }
    }
    drop(driving);
    runner.teardown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_holds_on_a_healthy_chain() {
    let builder = builder()
        .with_expectation(eventually(
            "grows",
            Duration::from_secs(60),
            height_at_least(10).and(nodes_agree()),
        ))
        .with_expectation(always("agrees", nodes_agree().or(unknown)))
        .with_expectation(sometimes("is low or high", height_at_least(1_000).not()))
        .with_expectation(BlockInterval::default().p50_at_most(Duration::from_secs(2)))
        .with_expectation(LogPattern::new(r"block [0-9a-f]+ at height").at_least(40))
        .with_expectation(LogPattern::new("panicked at").in_nodes(["validator-0"]).at_most(0));
    run(FakeDeployer::default(), builder).await.unwrap();
}

fn latency() -> TransactionLatency {
    TransactionLatency::default()
        .at_most(TransactionStage::Pooled, 1.0, Duration::from_secs(1))
        .at_most(TransactionStage::Included, 0.95, Duration::from_secs(10))
        .at_most(TransactionStage::Final, 0.5, Duration::from_secs(40))
}

#[tokio::test(start_paused = true)]
async fn latency_and_resources_of_a_healthy_chain_are_within_bounds() {
    let resources = ResourceUse::default().memory_at_most(20 << 20).cores_at_most(0.1);
    let builder = full().with_expectation(latency()).with_expectation(resources);
    let report = run(FakeDeployer::default(), builder).await.unwrap();
    let transactions: Summary = serde_json::from_value(report.sections["transactions"].clone()).unwrap();
    assert_eq!(transactions.pooled_seconds.unwrap().count, 270);
    assert_eq!(report.sections["transaction_latency"].as_array().unwrap().len(), 3);
    let samples = report.sections["resource_use"]["validator-2"]["memory_mib"]["count"].as_u64();
    assert!(samples.is_some_and(|samples| samples > 100), "{samples:?}");
}

#[tokio::test(start_paused = true)]
async fn each_stage_has_an_objective_of_its_own() {
    for (stage, within, text) in [
        (TransactionStage::Included, Duration::from_millis(100), "% were included within 100ms"),
        (TransactionStage::Final, Duration::from_secs(2), "% were final within 2s"),
    ] {
        let failed =
            run(FakeDeployer::default(), full().with_expectation(latency().at_most(stage, 0.9, within)));
        let failed = failed.await.unwrap_err();
        assert_eq!(failed.failures.len(), 1, "{failed}");
        assert!(failed.to_string().contains(text), "no `{text}` in:\n{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_late_as_a_consequence() {
    let deployer = FakeDeployer::default().with_fault("validator-0", 5, Fault::DropTransactions);
    let failed = run(deployer, full().with_expectation(latency())).await.unwrap_err();
    let subjects: Vec<_> = failed.failures.iter().map(|failure| failure.subject.as_str()).collect();
    assert_eq!(subjects, ["TransactionInclusion", "TransactionLatency"], "{failed}");
    let text = "TransactionLatency failed (product), as a consequence of TransactionInclusion";
    assert!(failed.to_string().contains(text), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaks_is_told_by_name() {
    let resources = ResourceUse::default().memory_at_most(30 << 20).cores_at_most(0.5).excess(0.1);
    let leaking = FakeDeployer::default().with_fault("validator-1", 5, Fault::Leak);
    let failed = run(leaking.clone(), builder().with_expectation(resources)).await.unwrap_err();
    for text in ["validator-1: ", "samples over 30.00 MiB", "samples over 0.50 cores"] {
        assert!(failed.to_string().contains(text), "no `{text}` in:\n{failed}");
    }
    assert!(!failed.to_string().contains("validator-0"), "{failed}");
    let patient = ResourceUse::default().memory_at_most(30 << 20).excess(0.9);
    run(leaking, builder().with_expectation(patient)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_does_not_hold_is_told_with_what_was_seen() {
    let nobody = TransactionId([7; 32]);
    let builder = builder()
        .with_expectation(eventually("high at once", Duration::from_secs(20), height_at_least(1_000)))
        .with_expectation(sometimes("included", transaction_included(nobody)))
        .with_expectation(sometimes("either", height_at_least(1_000).or(unknown)))
        .with_expectation(sometimes("both", nodes_agree().and(height_at_least(1_000))))
        .with_expectation(sometimes("the contrary", height_at_least(0).not()))
        .with_expectation(always("known", unknown))
        // One slot in ten is empty: the median is a slot, of 2 s, and the 95th percentile two.
        .with_expectation(
            BlockInterval::default().p50_at_most(Duration::from_secs(2)).p95_at_most(Duration::from_secs(3)),
        )
        .with_expectation(LogPattern::new("no such line").at_least(1));
    let failed = run(FakeDeployer::default(), builder).await.unwrap_err();
    let subjects: Vec<_> = failed.failures.iter().map(|failure| failure.subject.as_str()).collect();
    let conditions = ["high at once", "included", "either", "both", "the contrary", "known"];
    let expected = [&conditions[..], &["BlockInterval", "LogPattern `no such line`"]].concat();
    assert_eq!(subjects, expected, "{failed}");
    assert!(failed.to_string().contains("is in no block up to height"), "{failed}");
    assert!(failed.to_string().contains("unknown all the time"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn what_must_always_hold_ends_the_run_when_it_does_not() {
    let began = tokio::time::Instant::now();
    let builder = builder()
        .with_expectation(sometimes("quite high", height_at_least(45)))
        .with_expectation(always("low", never_high));
    let failed = run(FakeDeployer::default(), builder).await.unwrap_err();
    let subjects: Vec<_> = failed.failures.iter().map(|failure| failure.subject.as_str()).collect();
    assert_eq!(subjects, ["low", "quite high"], "what ended the run is told first: {failed}");
    assert!(failed.to_string().contains("height 20"), "{failed}");
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_logged_ends_the_run_when_it_is() {
    let began = tokio::time::Instant::now();
    let failed =
        run(FakeDeployer::default(), builder().with_expectation(LogPattern::new("at height 9 ").at_most(3)));
    let failed = failed.await.unwrap_err();
    assert!(failed.to_string().contains("at most 3 lines that match\n  seen:\n    4 lines"), "{failed}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_satisfied_before_what_must_be_logged_is() {
    // Liveness is satisfied before.
    let builder = builder().expect_consensus_liveness().until_satisfied();
    let report =
        run(FakeDeployer::default(), builder.with_expectation(LogPattern::new("at height 48").at_least(1)));
    let report = report.await.unwrap();
    assert!(report.saved.is_some() && drive(&report) < Duration::from_secs(120), "{report}");
}

#[test]
fn expectations_that_prove_nothing_are_refused() {
    let error = builder()
        .with_expectation(BlockInterval::default())
        .with_expectation(LogPattern::new("(").in_nodes(["validator-9"]))
        .with_expectation(TransactionLatency::default())
        .with_expectation(ResourceUse::default().cores_at_most(0.0).excess(1.0))
        .with_expectation(MetricThreshold::new("up"))
        .with_expectation(LogPattern::new("started").at_least(2).at_most(1))
        .with_metrics_query_url("http://127.0.0.1:9090")
        .with_expectation(MetricThreshold::new("up > 0").at_least(2.0).at_most(1.0))
        .with_expectation(MetricThreshold::new("up > 1").at_least(f64::NAN))
        .build()
        .err()
        .unwrap();
    let places: Vec<_> = error.problems.iter().map(Problem::place).collect();
    assert_eq!(places.len(), 12, "{error}");
    assert!(error.to_string().contains("there are validator-0, validator-1, validator-2, executor-0"));
}
