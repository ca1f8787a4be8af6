//! What the inner program runs: scenarios on a fake cluster, each for one promise of the harness.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use anyhow::Context;
use logos_scenario_runtime::context::RunContext;
use logos_scenario_runtime::deployer::{
    ClusterDescription, ClusterError, DeployError, Log, LogPart, NodeAction, Placement, States, Unavailable,
};
use logos_scenario_runtime::fake::{FakeCluster, FakeDeployer, Fault};
use logos_scenario_runtime::node::{ChannelId, Transport};
use logos_scenario_runtime::plan::Plan;
use logos_scenario_runtime::prelude::*;
use logos_scenario_runtime::topology::TopologyBuilder;
use logos_scenario_runtime::{Backend, BlockInterval, Capabilities, Cluster, Event, Failure, RunFailed};

/// The backends of the inner program: `local` disturbs no links, `compose` has a node that stands still, and `k8s` is
/// not here.
pub(crate) fn backends() -> Vec<Backend> {
    let faulty = FakeDeployer::default().named("compose").with_fault("validator-0", 5, Fault::Idle);
    let few = Capabilities { node_control: true, ..Capabilities::default() };
    let local = FakeDeployer::default().named("local").with_capabilities(few);
    vec![Backend::new(local), Backend::new(faulty), Backend::new(Absent)]
}

macro_rules! quick {
    ($($(#[$attribute:meta])* $name:ident($($args:tt)*) $body:expr;)*) => {$(
        #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s", $($args)*)]
        $(#[$attribute])*
        async fn $name(run: &mut Run) -> Result {
            let body: fn(&mut Run) = $body;
            body(run);
            run.drive().await
        }
    )*};
}

mod chains {
    use super::*;

    quick! {
        grow(tags = ["smoke", "quick"]) |run| { run.expect_consensus_liveness(); };
        grow_in_sizes(validators = [2, 3], tags = ["smoke"]) |run| { run.expect_consensus_liveness(); };
        stand_still(backend = "compose") |run| { run.expect_consensus_liveness(); };
        #[ignore = "for the list"]
        are_ignored() |run| { run.expect_consensus_liveness(); };
        are_elsewhere(backend = "k8s") |run| { run.expect_consensus_liveness(); };
        are_disturbed(faults) |run| { run.expect_consensus_liveness(); };
        bear_chaos(backend = own, validators = 4, layout = "full", security_param = 100, node_control, faults) |run| {
            let ms = Duration::from_millis;
            run.chaos_with(|chaos| {
                let restarts = chaos.restart().min_delay(ms(200)).max_delay(ms(400)).target_cooldown(ms(400));
                restarts.apply().isolate("validator-3").at_height(3).heal_after_blocks(5)
            });
        };
        own_ones_grow(backend = own) |run| { run.expect_consensus_liveness(); };
        #[ignore = "for the test of backends that have one name"]
        own_ones_halt(backend = of_that_name) |run| { run.expect_consensus_liveness(); };
    }

    fn own() -> FakeDeployer {
        FakeDeployer::default().named("own")
    }

    fn of_that_name() -> FakeDeployer {
        own().with_fault("validator-0", 2, Fault::Idle)
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "10m", until = "satisfied")]
    async fn end_when_satisfied(run: &mut Run) -> Result {
        run.with_expectation(TwoBlocks);
        run.drive().await
    }

    struct TwoBlocks;

    impl Expectation for TwoBlocks {
        type Baseline = u64;

        fn name(&self) -> &str {
            "two_blocks"
        }

        async fn capture(&self, cx: &RunContext) -> std::result::Result<u64, Failure> {
            Ok(cx.feed().best_height())
        }

        async fn judge(&self, cx: &RunContext, before: u64) -> std::result::Result<(), Failure> {
            let mut changes = cx.feed().changes();
            while cx.feed().best_height() < before + 2 && changes.changed().await.is_ok() {}
            Ok(())
        }
    }
}

mod bounds {
    use super::*;

    quick! {
        change(validators = 2) |run| {
            run.with_expectation(BlockInterval::default().p50_at_most(bound()))
                .expect_consensus_liveness()
                .transactions_with(|txs| txs.rate(1).users(5));
        };
    }

    /// Another one today than when the run was.
    #[expect(clippy::disallowed_methods, reason = "it is no setting of the framework's")]
    fn bound() -> Duration {
        std::env::var("BOUND")
            .map_or(Duration::MAX, |bound| bound.parse().map(Duration::from_secs).unwrap_or_default())
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s")]
    async fn ask_a_node(run: &mut Run) -> Result {
        run.node("validator-0")?.consensus_info().await?;
        run.expect_consensus_liveness();
        run.drive().await
    }
}

mod accounts {
    use super::*;

    async fn draw(run: &mut Run, count: usize) -> Result {
        let drawn = run.context().accounts().draw(count).await.map_err(RunFailed::from)?;
        anyhow::ensure!(drawn.len() == count, "{} accounts", drawn.len());
        Ok(())
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms")]
    async fn drawn_by_one(run: &mut Run) -> Result {
        draw(run, 850).await
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms")]
    async fn drawn_by_two(run: &mut Run) -> Result {
        draw(run, 100).await?;
        draw(run, 900).await
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms")]
    async fn drawn_in_vain(run: &mut Run) -> Result {
        let lacked = draw(run, 900).await.is_err();
        anyhow::bail!("a cause of its own, lacked: {lacked}")
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms")]
    async fn do_not_suffice(run: &mut Run) -> Result {
        draw(run, 100).await?;
        draw(run, 901).await
    }
}

mod leases {
    use super::*;

    /// Height of the chain when the last lease ended; names of channels that were had.
    static BEFORE: Mutex<(u64, Vec<ChannelId>)> = Mutex::new((0, Vec::new()));

    async fn begins_anew(run: &mut Run) -> Result {
        let before = BEFORE.lock().expect("nobody panics").clone();
        let lease = run.context().lease();
        let channels: Vec<_> = (0..3).map(|index| run.context().channel(index)).collect();
        anyhow::ensure!(
            channels.iter().all(|channel| !before.1.contains(channel)),
            "a channel was had before"
        );
        run.expect_consensus_liveness();
        run.drive().await?;
        let mut replay = run.feed().replay();
        let heights = std::iter::from_fn(|| replay.try_next()).filter_map(|event| match event {
            Event::Block(block) => Some(block.height),
            _ => None,
        });
        let first = heights.min().context("no block is replayed")?;
        anyhow::ensure!(first > before.0, "block {first} was there before lease {lease}");
        let now = (run.feed().best_height(), [before.1, channels].concat());
        *BEFORE.lock().expect("nobody panics") = now;
        println!("lease {lease} has blocks from {first} on");
        Ok(())
    }

    macro_rules! leases {
        ($($name:ident)*) => {$(
            #[scenario(crate = logos_scenario_runtime, validators = 2, slot = "50ms", duration = "2s")]
            async fn $name(run: &mut Run) -> Result {
                begins_anew(run).await
            }
        )*};
    }

    leases! { begin_anew_first begin_anew_second begin_anew_third }
}

mod bodies {
    use super::*;

    quick! {
        panic() |_| panic!("the body gave up");
        fail_otherwise(should_fail = "some other text") |_| panic!("the body gave up");
        fail_as_they_should(should_fail = "the body gave up") |_| panic!("the body gave up");
        pass_though_they_should_fail(should_fail = "a text") |run| { run.expect_consensus_liveness(); };
    }

    /// Longer than a body that is told to end is waited for.
    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "10m", timeout = "300ms")]
    async fn take_too_long(run: &mut Run) -> Result {
        run.expect_consensus_liveness();
        run.drive().await
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s")]
    async fn prove_nothing() {}

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s", backend = "compose")]
    async fn swallow(run: &mut Run) {
        run.expect_consensus_liveness();
        let _ = run.drive().await;
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s", backend = "compose")]
    async fn hand_on_with_context(run: &mut Run) -> Result {
        run.expect_consensus_liveness();
        run.drive().await.context("driving")
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s", backend = "compose")]
    async fn hand_on_in_a_box(run: &mut Run) -> std::result::Result<(), Box<dyn std::error::Error>> {
        run.expect_consensus_liveness();
        Ok(run.drive().await?)
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s", backend = "compose")]
    async fn hand_on_as_text(run: &mut Run) -> std::result::Result<(), String> {
        run.expect_consensus_liveness();
        run.drive().await.map_err(|error| format!("driving: {error}"))
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", timeout = "300ms")]
    async fn block_their_thread(run: &mut Run) {
        run.feed();
        let (_kept, never) = mpsc::channel::<()>();
        let _ = never.recv();
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s", topology = with_a_token)]
    async fn tell_secrets(run: &mut Run) -> Result {
        tracing::info!("at http://me:hunter2@host/");
        run.context().record("asked", &["Authorization: Basic hunter2"]);
        run.expect_consensus_liveness();
        run.drive().await?;
        anyhow::bail!("token=hunter2 is refused by http://me:hunter2@host/")
    }

    fn with_a_token(topology: TopologyBuilder) -> TopologyBuilder {
        topology.with_node("validator-0", |node| node.env("API_TOKEN", "hunter2"))
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms")]
    async fn log_and_pass(run: &mut Run) {
        run.feed();
        tracing::info!("a word of the one that passes");
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms")]
    async fn log_and_fail(run: &mut Run) {
        run.feed();
        tracing::info!("a word of the body");
        let task = tokio::spawn(async { tracing::info!("a word of a task") });
        task.await.expect("the task says a word");
        panic!("the body gave up");
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms")]
    async fn leave_a_panic_behind(run: &mut Run) {
        run.feed();
        let task = tokio::spawn(async { panic!("the task gave up") });
        assert!(task.await.is_err(), "the task panics");
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms")]
    async fn return_a_code(run: &mut Run) -> std::process::ExitCode {
        run.feed();
        std::process::ExitCode::from(7)
    }

    /// Fails the first attempt that nextest makes.
    #[scenario(crate = logos_scenario_runtime, slot = "50ms")]
    async fn pass_when_tried_again(run: &mut Run) -> Result {
        run.feed();
        #[expect(clippy::disallowed_methods, reason = "it is no setting of the framework's")]
        let attempt = std::env::var("NEXTEST_ATTEMPT");
        anyhow::ensure!(attempt.as_deref() != Ok("1"), "the first attempt fails");
        Ok(())
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", node_control, wallets = 7)]
    async fn control_what_they_declare(run: &mut Run) -> Result {
        anyhow::ensure!(run.context().wallets() == Some(7), "{:?} wallets", run.context().wallets());
        Ok(run.control()?.restart("validator-0").await?)
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms")]
    async fn cannot_control_what_they_do_not_declare(run: &mut Run) -> Result {
        Ok(run.control()?.restart("validator-0").await?)
    }
}

mod endless {
    use super::*;

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "10m")]
    async fn window(run: &mut Run) -> Result {
        run.expect_consensus_liveness();
        run.drive().await
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "10m", backend = Stubborn)]
    async fn teardown(run: &mut Run) -> Result {
        run.expect_consensus_liveness();
        run.drive().await
    }
}

mod plain {
    use logos_scenario_runtime::test;

    #[test(crate = logos_scenario_runtime)]
    fn counts() {
        tracing::info!("a word of a plain test");
        assert!(super::backends().len() == 3);
    }

    #[test(crate = logos_scenario_runtime)]
    async fn awaits() -> Result<(), String> {
        tokio::task::yield_now().await;
        Ok(())
    }

    #[test(crate = logos_scenario_runtime)]
    fn fails() -> Result<(), String> {
        Err("nothing is right".to_owned())
    }

    #[test(crate = logos_scenario_runtime)]
    #[ignore = "for the list"]
    fn ignored() {}

    #[test(crate = logos_scenario_runtime)]
    fn panics() {
        panic!("the test gave up");
    }
}

/// A backend that this machine lacks.
struct Absent;

impl Deployer for Absent {
    type Cluster = FakeCluster;

    fn name(&self) -> &str {
        "k8s"
    }

    fn capabilities(&self) -> Capabilities {
        FakeDeployer::default().capabilities()
    }

    async fn available(&self) -> std::result::Result<(), Unavailable> {
        Err(Unavailable { missing: "there is no cluster".to_owned(), try_next: "start one".to_owned() })
    }

    async fn provision(&self, plan: &Plan, _: &Placement) -> std::result::Result<FakeCluster, DeployError> {
        panic!("{} is deployed on a backend that is not here", plan.key)
    }

    async fn sweep(&self) -> std::result::Result<Vec<String>, DeployError> {
        Ok(Vec::new())
    }
}

/// A backend whose clusters never end.
struct Stubborn;

struct StubbornCluster(FakeCluster);

impl Deployer for Stubborn {
    type Cluster = StubbornCluster;

    fn name(&self) -> &str {
        "stubborn"
    }

    fn in_memory(&self) -> bool {
        true
    }

    async fn available(&self) -> std::result::Result<(), Unavailable> {
        Ok(())
    }

    async fn provision(
        &self,
        plan: &Plan,
        place: &Placement,
    ) -> std::result::Result<StubbornCluster, DeployError> {
        FakeDeployer::default().provision(plan, place).await.map(StubbornCluster)
    }

    async fn sweep(&self) -> std::result::Result<Vec<String>, DeployError> {
        Ok(Vec::new())
    }
}

impl Cluster for StubbornCluster {
    fn description(&self) -> &ClusterDescription {
        Cluster::description(&self.0)
    }

    async fn states(&self, newer_than: u64) -> std::result::Result<States, ClusterError> {
        Cluster::states(&self.0, newer_than).await
    }

    async fn control(&self, node: &str, action: NodeAction) -> std::result::Result<(), ClusterError> {
        Cluster::control(&self.0, node, action).await
    }

    async fn logs(&self, node: &str, part: LogPart) -> std::result::Result<Log, ClusterError> {
        Cluster::logs(&self.0, node, part).await
    }

    async fn teardown(&self) -> std::result::Result<(), ClusterError> {
        std::future::pending().await
    }

    fn connect(&self, address: &str) -> std::sync::Arc<dyn Transport> {
        Cluster::connect(&self.0, address)
    }
}
