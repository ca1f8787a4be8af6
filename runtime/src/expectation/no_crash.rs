//! No node exited, was restarted behind our back, or panicked.

use super::Expectation;
use crate::context::RunContext;
use crate::deployer::{LogPart, NodeState, NodeStatus};
use crate::failure::{Failure, FailureClass};

/// No node exited, was restarted by anyone but us, or logged a panic. Always on; fails as soon as it
/// happens.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::fake::{self, FakeDeployer, FakeProgram, Fault};
/// # use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
/// fake::in_no_time(async {
///     let scenario = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 0))
///         .with_program(FakeProgram)
///         .expect_consensus_liveness()
///         .with_run_duration(Duration::from_secs(60))
///         .build()?;
///     let faulty = FakeDeployer::default().with_fault("validator-1", 5, Fault::Panic);
///     let failed = faulty.run(&scenario).await.expect_err("a node panics");
///     assert!(failed.to_string().starts_with("NoCrash failed (product)"));
///     Ok(())
/// });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCrash;

/// Lines of a crashed node's log in the message.
const LINES: usize = 12;

impl Expectation for NoCrash {
    type Baseline = ();

    fn name(&self) -> &str {
        Self::NAME
    }

    fn explained_by(&self) -> &'static [&'static str] {
        &[]
    }

    fn awaited(&self) -> bool {
        false
    }

    async fn capture(&self, _: &RunContext) -> Result<(), Failure> {
        Ok(())
    }

    async fn judge(&self, cx: &RunContext, (): ()) -> Result<(), Failure> {
        tokio::select! {
            biased;
            failure = self.crashed(cx) => return Err(failure),
            () = cx.settled() => {}
        }
        let mut failure = Failure::new(FailureClass::Product, Self::NAME).expected("no node to panic");
        for node in cx.topology().nodes() {
            if let Some(panic) = panic_in_log(cx, &node.name).await {
                failure = failure.seen(format!("{}: {panic}", node.name)).look(cx.log_place(&node.name));
            }
        }
        if failure.details.seen.is_empty() { Ok(()) } else { Err(failure) }
    }
}

impl NoCrash {
    /// Its name.
    pub(crate) const NAME: &str = "NoCrash";

    /// Completes when a node crashed.
    async fn crashed(&self, cx: &RunContext) -> Failure {
        let mut version = 0;
        loop {
            match cx.node_states_after(version).await {
                Ok(states) => {
                    version = states.version;
                    if let Some(how) = states.broken {
                        return broken(&how);
                    }
                    let crashed: Vec<_> =
                        states.nodes.iter().filter_map(|node| Some((node, crash(node)?))).collect();
                    if !crashed.is_empty() {
                        return describe(cx, &crashed).await;
                    }
                }
                Err(error) => {
                    return Failure::new(FailureClass::Infrastructure, Self::NAME)
                        .expected("the cluster to tell the states of its nodes")
                        .seen(error.to_string());
                }
            }
        }
    }
}

/// The failure of a run whose cluster has lost more than nodes.
fn broken(how: &str) -> Failure {
    Failure::new(FailureClass::Infrastructure, "NoCrash")
        .expected("all that carries the cluster to run until the end")
        .seen(how)
        .because("what the chain does without it says nothing about the nodes")
}

fn crash(node: &NodeState) -> Option<String> {
    match &node.status {
        NodeStatus::Exited(how) => Some(format!("ended by itself with {how}")),
        _ if node.starts > node.starts_by_us => Some(format!(
            "was started {} times, but only {} times by this run",
            node.starts, node.starts_by_us
        )),
        _ => None,
    }
}

async fn describe(cx: &RunContext, crashed: &[(&NodeState, String)]) -> Failure {
    let height = cx.feed().best_height();
    let mut failure = Failure::new(FailureClass::Product, NoCrash::NAME)
        .expected("every node to run until the end")
        .try_next("read the log from its end backwards; the node's own panic or error is the cause");
    for (node, how) in crashed {
        failure = failure.seen(format!("{} {how}, when the chain was {height} blocks high", node.name));
        if let Some(panic) = panic_in_log(cx, &node.name).await {
            failure = failure.because(format!("{} {panic}", node.name));
        }
        match cx.node_log(&node.name, LogPart::Last(LINES)).await {
            Ok(log) => {
                failure = failure.seen(format!("last lines of {}'s log:\n{}", node.name, log.trim_end()));
            }
            Err(error) => failure = failure.seen(format!("its log cannot be read: {error}")),
        }
        failure = failure.look(cx.log_place(&node.name));
    }
    failure
}

/// The first panic that a node's log tells, with the line after it, which mostly holds the message.
async fn panic_in_log(cx: &RunContext, node: &str) -> Option<String> {
    let log = cx.node_log(node, LogPart::From(0)).await.ok()?;
    let mut lines = log.lines().skip_while(|line| !line.contains(cx.program().panic_marker()));
    let (first, second) = (lines.next()?, lines.next());
    Some(format!(
        "logged a panic: {}",
        [Some(first), second].into_iter().flatten().collect::<Vec<_>>().join("\n")
    ))
}
