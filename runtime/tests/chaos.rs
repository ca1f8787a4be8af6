//! Chaos on a fake cluster: what is planned happens, who comes back recovers, and who does not is told.

use std::time::Duration;

use logos_scenario_runtime::expectation::bound::Growth;
use logos_scenario_runtime::fake::{self, FakeDeployer, FakeProgram};
use logos_scenario_runtime::faults::Fault;
use logos_scenario_runtime::report::Phase;
use logos_scenario_runtime::workload::chaos::{Back, PlannedFault, When};
use logos_scenario_runtime::workload::{ChaosLog, Disturbance, FaultPlan};
use logos_scenario_runtime::{
    ChainAgreement, Chaos, Deployer, NodeProgram, Report, RunFailed, ScenarioBuilder, ScenarioBuilderExt,
    Topology,
};

fn builder() -> ScenarioBuilder {
    ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1))
        .with_program(FakeProgram)
        .with_seed(1)
        .with_run_duration(Duration::from_secs(240))
}

fn often(chaos: Chaos) -> Chaos {
    let seconds = Duration::from_secs;
    chaos.restart().min_delay(seconds(5)).max_delay(seconds(15)).target_cooldown(seconds(30)).apply()
}

/// The report, and what was done.
async fn run(
    deployer: FakeDeployer,
    builder: ScenarioBuilder,
) -> Result<(Report, Vec<Disturbance>), RunFailed> {
    let scenario = builder.build().expect("the scenario is valid");
    let runner = deployer.deploy(&scenario).await?;
    let driving = runner.start(&scenario).await?;
    let log = driving.context().state::<ChaosLog>();
    let outcome = driving.finish().await;
    runner.teardown().await?;
    let done = log.lock().clone();
    Ok((outcome?, done))
}

fn plan(report: &Report) -> FaultPlan {
    serde_json::from_value(report.sections["faults"].clone()).expect("the plan is in the report")
}

#[tokio::test(start_paused = true)]
async fn a_chain_bears_random_restarts() {
    let builder = builder()
        .transactions_with(|tx| tx.rate(3))
        .chaos_with(often)
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default());
    let (report, done) = run(FakeDeployer::default(), builder).await.unwrap();
    assert!(done.len() >= 10, "{done:?}");
    assert_eq!(report.workloads["chaos"].0["restarts"], done.len() as u64);
    assert!(done.iter().all(|it| it.recovered.is_some()), "{done:?}");
    assert!(report.held.contains(&"Recovery".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_script_is_tied_to_the_chain() {
    let builder = builder()
        .chaos_with(|chaos| chaos.node("validator-1").at_height(10).kill().restart_after_blocks(3))
        .transactions_with(|tx| tx.rate(3))
        .expect_consensus_liveness();
    let (report, done) = run(FakeDeployer::default(), builder).await.unwrap();
    let planned = PlannedFault {
        when: When::Height(10),
        fault: Fault::Kill("validator-1".to_owned()),
        back: Some(Back::Blocks(3)),
    };
    assert_eq!(plan(&report), FaultPlan(vec![planned]));
    let [Disturbance { at, back: Some(back), recovered: Some(_), .. }] = done[..] else { panic!("{done:?}") };
    assert!(back - at >= Duration::from_secs(6), "three blocks take three slots of 2 s at least");
    assert_eq!(report.workloads["chaos"].0["kills"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_the_plan_and_a_plan_can_be_replayed() {
    let (one, _) = run(FakeDeployer::default(), builder().chaos_with(often)).await.unwrap();
    let (same, _) = run(FakeDeployer::default(), builder().chaos_with(often)).await.unwrap();
    let (other, _) = run(FakeDeployer::default(), builder().with_seed(2).chaos_with(often)).await.unwrap();
    assert_eq!(one.sections["faults"].to_string(), same.sections["faults"].to_string());
    assert_ne!(one.sections["faults"], other.sections["faults"]);
    let replayed = builder().with_seed(3).chaos_with(|chaos| chaos.replay(plan(&one)));
    let (replayed, done) = run(FakeDeployer::default(), replayed).await.unwrap();
    assert_eq!(replayed.sections["faults"], one.sections["faults"]);
    assert_eq!(done.len(), plan(&one).0.len());
}

#[tokio::test(start_paused = true)]
async fn what_would_take_half_of_the_stake_waits() {
    let builder = builder().chaos_with(|chaos| {
        let second = Duration::from_secs;
        let first = chaos.node("validator-0").after(second(20)).kill().restart_after(second(30)).and();
        first.node("validator-1").after(second(25)).pause().resume_after(second(10))
    });
    let (_, done) = run(FakeDeployer::default(), builder).await.unwrap();
    let [first, second] = &done[..] else { panic!("{done:?}") };
    assert_eq!(first.planned.fault, Fault::Kill("validator-0".to_owned()));
    assert_eq!(second.planned.fault, Fault::Pause("validator-1".to_owned()));
    assert!(second.at >= first.back.unwrap(), "two of four nodes are half of the stake: {done:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_any_more_is_told() {
    let deployer = FakeDeployer::default().with_fault("validator-1", 12, fake::Fault::Closed);
    let builder =
        builder().chaos_with(|chaos| chaos.node("validator-1").at_height(5).kill().restart_after_blocks(9));
    let failed = run(deployer, builder).await.unwrap_err();
    let found: Vec<_> = failed.failures.iter().map(|failure| failure.subject.as_str()).collect();
    assert_eq!(found, ["Recovery"], "{failed}");
    let text = failed.to_string();
    assert!(text.contains("validator-1 to answer within 1m of its return"), "{text}");
}

fn five() -> ScenarioBuilder {
    let topology = Topology::with_node_counts(5, 0).network_full().security_param(60);
    ScenarioBuilder::with_topology(topology)
        .with_program(FakeProgram)
        .with_seed(1)
        .with_run_duration(Duration::from_secs(240))
}

const TWO: [&str; 2] = ["validator-3", "validator-4"];
const THREE: [&str; 3] = ["validator-0", "validator-1", "validator-2"];

#[tokio::test(start_paused = true)]
async fn who_was_cut_off_recovers_while_others_are_restarted() {
    let builder = five()
        .chaos_with(|chaos| often(chaos).partition(TWO, THREE).at_height(10).heal_after_blocks(20))
        .transactions_with(|tx| tx.rate(2))
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default());
    let (report, done) = run(FakeDeployer::default(), builder).await.unwrap();
    assert_eq!(report.workloads["chaos"].0["partitions"], 1);
    let cut: Vec<&Disturbance> =
        done.iter().filter(|it| matches!(it.planned.fault, Fault::Network(_))).collect();
    let nodes: Vec<&str> = cut.iter().map(|it| it.node.as_str()).collect();
    assert_eq!(nodes, TWO, "the lighter side recovers");
    assert!(done.iter().all(|it| it.recovered.is_some()), "{done:?}");
    let meanwhile = |it: &&Disturbance| it.at > cut[0].at && Some(it.at) < cut[0].back;
    assert_eq!(done.iter().filter(meanwhile).count(), 0, "a third node down would leave no majority");
    let restarts: Vec<_> = done.iter().filter(|it| matches!(it.planned.fault, Fault::Restart(_))).collect();
    assert!(restarts.iter().filter(|it| Some(it.at) > cut[0].back).count() > 2, "{done:?}");
    let are_near = |two: &[&Disturbance]| two[1].at - two[0].at < Duration::from_secs(5);
    assert!(!restarts.windows(2).any(are_near), "what had to wait stays as far apart as planned: {done:?}");
}

#[tokio::test(start_paused = true)]
async fn a_window_of_blocks_lasts_longer_while_stake_is_down() {
    let builder = |chaos: fn(Chaos) -> Chaos| {
        let topology = Topology::with_node_counts(5, 0).network_full().security_param(60);
        ScenarioBuilder::with_topology(topology.active_slot_coeff(0.5))
            .with_program(FakeProgram)
            .with_seed(1)
            .with_run_blocks(30)
            .chaos_with(chaos)
    };
    let four_are_stopped = builder(|chaos| {
        let nodes = ["validator-1", "validator-2", "validator-3"];
        let stop = |chaos: Chaos, node| chaos.node(node).at_slot(1).stop().and();
        nodes.into_iter().fold(chaos.max_down(4), stop).node("validator-4").at_slot(1).stop().into()
    });
    let longest = four_are_stopped.clone().build().unwrap();
    let topology = longest.topology();
    let growth = Growth::of(topology.consensus(), FakeProgram.message_delay(topology));
    let longest = longest.window().at_most(topology.consensus(), &growth);
    let (report, _) = run(FakeDeployer::default(), four_are_stopped).await.unwrap();
    let drove = report.phases.iter().find(|(phase, _)| *phase == Phase::Drive).unwrap().1;
    assert!(drove > longest, "{drove:?} are no more than what all of them need at most: {longest:?}");
    let idle = (0..5).fold(FakeDeployer::default(), |all, node| {
        all.with_fault(&format!("validator-{node}"), 8, fake::Fault::Idle)
    });
    let failed = run(idle, builder(|chaos| chaos.node("validator-1").at_slot(1).restart().into())).await;
    let failed = failed.unwrap_err();
    assert_eq!(failed.failures[0].subject, "window", "{failed}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_follows_its_own_side_while_the_other_is_higher() {
    let deployer =
        THREE.iter().fold(FakeDeployer::default(), |all, node| all.with_fault(node, 8, fake::Fault::Idle));
    let builder = five().chaos_with(|chaos| {
        let parted = chaos.max_down(5).partition(TWO, THREE).at_height(5).heal_after_blocks(30);
        parted.and().node("validator-1").at_height(12).restart()
    });
    let (_, done) = run(deployer, builder).await.unwrap();
    let restart = done.iter().find(|it| it.planned.fault == Fault::Restart("validator-1".into())).unwrap();
    let parted = done.iter().find(|it| it.node == TWO[0]).unwrap();
    assert!(restart.recovered < parted.back, "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_may_split_the_chain_has_to_be_meant() {
    let chaos = |chaos: Chaos| chaos.partition(TWO, THREE).at_height(10).heal_after_blocks(60);
    let problems = five().chaos_with(chaos).build().expect_err("the lighter side makes 40 blocks").problems;
    let told = problems[0].to_string();
    assert!(
        told.contains("a side of 40 % of the stake is expected to make 40.0 blocks of its own"),
        "{told}"
    );
    assert!(
        told.ends_with("raise security_param to 81 or more, heal it earlier, or say `.may_split()`"),
        "{told}"
    );
    five().chaos_with(|it| chaos(it).and().may_split()).build().unwrap();
    five().chaos_with(|it| it.partition(TWO, THREE).at_height(10).heal_after_blocks(44)).build().unwrap();
    // One of five makes a fifth of the blocks: 0.2 × 0.9 × 120 in 240 s of slots of 2 s.
    five().chaos_with(|it| it.isolate("validator-1").at_slot(3)).build().unwrap();
    let half = |it: Chaos| it.isolate("validator-1").at_slot(3).heal_after(Duration::from_secs(400));
    assert!(five().chaos_with(half).build().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_plan_with_links_repeats_byte_for_byte() {
    let chaos = |chaos: Chaos| often(chaos).isolate("validator-1").at_height(5).heal_after_blocks(5);
    let bytes = |report: &Report| serde_json::to_vec(&report.sections["faults"]).unwrap();
    let (one, _) = run(FakeDeployer::default(), five().chaos_with(chaos)).await.unwrap();
    let (same, _) = run(FakeDeployer::default(), five().chaos_with(chaos)).await.unwrap();
    let plan = plan(&one);
    let replayed = five().with_seed(7).chaos_with(|chaos| chaos.replay(plan));
    let (replayed, _) = run(FakeDeployer::default(), replayed).await.unwrap();
    assert_eq!((bytes(&same), bytes(&replayed)), (bytes(&one), bytes(&one)));
}

#[test]
fn chaos_that_cannot_be_is_told_before_anything_runs() {
    let problems = |topology, chaos: fn(Chaos) -> Chaos| {
        let builder = ScenarioBuilder::with_topology(topology).with_program(FakeProgram).chaos_with(chaos);
        let problems = builder.build().expect_err("it has problems").problems;
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        problems(Topology::with_node_counts(1, 0), |chaos| {
            let seconds = Duration::from_secs;
            chaos.restart().min_delay(seconds(9)).max_delay(seconds(3)).target_cooldown(seconds(1)).apply()
        }),
        [
            "chaos.min_delay: 9s is above max_delay, 3s; swap the two, or raise `max_delay`",
            "chaos.target_cooldown: 1s is below min_delay, 9s, so that it has no effect; give at least 9s",
            "chaos.restart: the only validator would be down, and the chain with it; give the topology \
             `validators(2)` or more",
        ]
    );
    assert_eq!(
        problems(Topology::with_node_counts(2, 0), |chaos| chaos.restart().include_validators(false).apply()),
        ["chaos.restart: no node can be restarted; include validators, or give the topology an executor"]
    );
    assert_eq!(
        problems(Topology::with_node_counts(2, 0), |chaos| chaos
            .node("validator-2")
            .at_height(1)
            .kill()
            .and()),
        ["chaos.node(\"validator-2\"): there is no such node; the nodes are validator-0, validator-1"]
    );
    assert_eq!(problems(Topology::with_node_counts(2, 0), |chaos| chaos).len(), 1);
}
