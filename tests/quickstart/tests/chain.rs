//! Scenarios on clusters of `mynode`.

use std::time::Duration;

use logos_scenario::plan::{
    Executable, NodePlanning, PlannedFile, PlannedNode, PlannedPort, Protocol, symbol,
};
use logos_scenario::prelude::*;
use logos_scenario::topology::TopologyBuilder;
use logos_scenario::{ChainAgreement, NodeProgram, Problem, Topology};

/// What the framework must know of `mynode`.
struct MyNode;

impl NodeProgram for MyNode {
    fn name(&self) -> &str {
        "mynode"
    }

    fn identity(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn plan(&self, planning: &NodePlanning<'_>) -> Result<PlannedNode, Problem> {
        let (node, consensus) = (planning.node(), planning.topology.consensus());
        let mut config = serde_json::json!({
            "http": format!("{}:{}", symbol::control(&node.name), symbol::port(&node.name, "http")),
            "peers": planning.topology.peers_at_start(planning.index),
            "start_time": symbol::START_TIME,
            "slot": format!("{}ms", consensus.slot.as_millis()),
            "security_param": consensus.security_param,
        });
        for (key, value) in &node.config {
            config[key] = value.clone();
        }
        let executable =
            Executable { program: "mynode".to_owned(), path: Some(env!("CARGO_BIN_EXE_mynode").into()) };
        Ok(PlannedNode {
            args: vec![format!("{}/config.json", symbol::DIRECTORY)],
            files: vec![PlannedFile { path: "config.json".into(), text: config.to_string() }],
            ports: vec![PlannedPort { name: "http".to_owned(), protocol: Protocol::Tcp, number: 8080 }],
            ..PlannedNode::new(node, executable)
        })
    }

    fn message_delay(&self, _: &Topology) -> Duration {
        Duration::from_millis(50)
    }
}

#[scenario(validators = 3, slot = "200ms", duration = "20 blocks")]
async fn three_validators_agree(run: &mut Run) -> Result {
    run.expect_consensus_liveness().with_expectation(ChainAgreement::default());
    run.drive().await
}

/// One of the validators is stuck at height 1.
fn one_is_stuck(topology: TopologyBuilder) -> TopologyBuilder {
    topology.with_node("validator-1", |node| node.config("stop_at", 1))
}

#[scenario(validators = 3, slot = "200ms", duration = "20 blocks", topology = one_is_stuck)]
#[ignore = "fails, to show how that looks"]
async fn a_stuck_validator_is_alive(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

logos_scenario::main!(program = MyNode);
