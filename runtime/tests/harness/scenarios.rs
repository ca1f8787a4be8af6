//! What the inner program runs: scenarios on a fake cluster, each for one promise of the harness.

use std::sync::mpsc;

use logos_scenario_runtime::context::RunContext;
use logos_scenario_runtime::deployer::{
    ClusterDescription, ClusterError, DeployError, Log, LogPart, NodeAction, Placement, States, Unavailable,
};
use logos_scenario_runtime::fake::{FakeCluster, FakeDeployer, Fault};
use logos_scenario_runtime::node::Transport;
use logos_scenario_runtime::plan::Plan;
use logos_scenario_runtime::prelude::*;
use logos_scenario_runtime::{Backend, Capabilities, Cluster, Failure};

/// The backends of the inner program: `compose` has a node that stands still, and `k8s` is not here.
pub(crate) fn backends() -> Vec<Backend> {
    let faulty = FakeDeployer::default().named("compose").with_fault("validator-0", 5, Fault::Idle);
    let local = FakeDeployer::default().named("local");
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
        own_ones_grow(backend = own) |run| { run.expect_consensus_liveness(); };
    }

    fn own() -> FakeDeployer {
        FakeDeployer::default().named("own")
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

mod bodies {
    use super::*;

    quick! {
        panic() |_| panic!("the body gave up");
        fail_otherwise(should_fail = "some other text") |_| panic!("the body gave up");
        fail_as_they_should(should_fail = "the body gave up") |_| panic!("the body gave up");
        pass_though_they_should_fail(should_fail = "a text") |run| { run.expect_consensus_liveness(); };
        take_too_long(timeout = "300ms") |run| { run.expect_consensus_liveness(); };
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s")]
    async fn prove_nothing() {}

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", duration = "2s", backend = "compose")]
    async fn swallow(run: &mut Run) {
        run.expect_consensus_liveness();
        let _ = run.drive().await;
    }

    #[scenario(crate = logos_scenario_runtime, slot = "50ms", timeout = "300ms")]
    async fn block_their_thread(run: &mut Run) {
        run.feed();
        let (_kept, never) = mpsc::channel::<()>();
        let _ = never.recv();
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

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
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
