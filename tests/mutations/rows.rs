//! The faults, and who should find each.

use std::time::Duration;

use anyhow::Context;
use logos_scenario::topology::TopologyBuilder;
use logos_scenario::{
    FailureClass, RunContext, Scenario, ScenarioBuilder, ScenarioBuilderExt, Topology, TransactionLatency,
    TransactionStage,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::Caught;

/// A fault, and how it shows.
pub(crate) struct Row {
    pub(crate) number: usize,
    /// The fault, for people: it is a cell of README's table.
    pub(crate) name: &'static str,
    pub(crate) caught: Option<Caught>,
    /// Texts that this fault's first failure has, all of them, and after a `!` what it has not. No other fault's has the
    /// same.
    told_by: &'static [&'static str],
    pub(crate) act: Act,
    /// Whether it is about processes and programs of this machine.
    pub(crate) only_local: bool,
    topology: TopologyBuilder,
    pub(crate) window: Duration,
    /// Whether blobs are published, which takes executors.
    publishes: bool,
    /// What transactions' latency is held to. A machine with other work to do breaks every such bound, so only the
    /// fault that is about latency has one.
    latency: Option<TransactionLatency>,
}

/// What the test itself does to validator-1 during the run.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    Nothing,
    /// Sends its process a signal, as somebody else would.
    Signal(Signal),
}

const CHAIN: &[&str] = &["validator-0", "validator-1"];
const ONE: &[&str] = &["validator-1"];
const FIRST: &[&str] = &["validator-0"];
const DATA: &[&str] = &["validator-0", "validator-1", "validator-2", "executor-0", "executor-1"];
/// A height that no chain has before its cluster is ready, however busy the machine: the run has begun by then.
const LATE: u64 = 15;
/// All but one: of five members' shares two restore a blob.
const MOST: &[&str] = &["validator-1", "validator-2", "executor-0", "executor-1"];

/// All rows, numbered in the order of the table.
pub(crate) fn rows() -> Vec<Row> {
    let product = FailureClass::Product;
    let infrastructure = FailureClass::Infrastructure;
    let mut rows = vec![
        healthy("none"),
        healthy("none, with data").on_data(),
        fault("`panic_at`", ONE, "faults.panic_at", json!(LATE))
            .caught("NoCrash", product, &["with exit code 101", "panicked at"])
            .lasting(40_000),
        fault("`exit_at`", ONE, "faults.exit_at", json!({ "height": LATE, "code": 0 }))
            .caught("NoCrash", product, &["with exit code 0,"])
            .lasting(40_000),
        fault("`stop_producing_at`", CHAIN, "faults.stop_producing_at", json!(6))
            .caught("ConsensusLiveness", product, &["no block for"])
            .lasting(30_000),
        fault("`half_rate`", FIRST, "faults.half_rate", json!(true))
            .caught("ConsensusLiveness", product, &["validator-0 grew by", "too few", "!behind the best"])
            .alone()
            .lasting(36_000),
        fault("`equivocate`", FIRST, "faults.equivocate", json!(true)).caught(
            "LogPattern `equivocation: `",
            product,
            &["a leader made two blocks in one slot"],
        ),
        fault("`fork_away_at`", CHAIN, "faults.fork_away_at", json!(6))
            .caught("ChainAgreement", product, &["hold different blocks irreversible"])
            .lasting(20_000),
        fault("`accept_and_drop`", FIRST, "faults.accept_and_drop", json!(true)).caught(
            "TransactionInclusion",
            product,
            &["lost: ", "accepted by validator-0"],
        ),
        fault("`http_delay`", ONE, "faults.http_delay", json!("3s"))
            .caught("TransactionLatency", product, &["% were pooled within 2s"])
            .slow()
            .lasting(48_000),
        fault("`withhold_shares`", MOST, "faults.withhold_shares", json!(true))
            .caught("BlobAvailability", product, &["cannot be restored", "and 0 bad ones", "!and 3 bad ones"])
            .on_data(),
        fault("`corrupt_shares`", MOST, "faults.corrupt_shares", json!(true))
            .caught("BlobAvailability", product, &["cannot be restored", "and 3 bad ones"])
            .on_data(),
        fault("`lose_blobs`", DATA, "faults.lose_blobs", json!(true))
            .caught(
                "BlobAvailability",
                product,
                &["cannot be restored", "Blob index not found", "!good shares"],
            )
            .on_data(),
        fault("`refuse_sampling`", DATA, "faults.refuse_sampling", json!(true))
            .caught(
                "BlobAvailability",
                product,
                &["dispersed by executor-1", "never in a block", "!cannot be restored"],
            )
            .on_data(),
        fault("`drop_dispersals`", &["executor-0"], "faults.drop_dispersals", json!(true))
            .caught(
                "BlobAvailability",
                product,
                &["dispersed by executor-0", "never in a block", "!dispersed by executor-1"],
            )
            .on_data(),
        fault("`refuse_to_start`", ONE, "faults.refuse_to_start", json!(true)).caught(
            "ready",
            infrastructure,
            &["validator-1 ended by itself with exit code 1"],
        ),
        fault("`http: garbage`", ONE, "faults.http", json!("garbage")).caught(
            "ready",
            infrastructure,
            &["something answers there, but not as a node of this program"],
        ),
        fault("`http: silent`", ONE, "faults.http", json!("silent")).lasting(60_000).caught(
            "ready",
            infrastructure,
            &["validator-1 did not answer", "no answer within"],
        ),
        fault("`http: closed`", ONE, "faults.http", json!("closed")).lasting(60_000).caught(
            "ready",
            infrastructure,
            &["validator-1 did not answer", "onnection refused"],
        ),
        healthy("program that is not there")
            .on_local(two().with_node("validator-1", |node| node.binary("/no/such/node")))
            .caught("deploy", infrastructure, &["is not a file"]),
        healthy("process killed from outside").acting(Act::Signal(Signal::KILL)).caught(
            "NoCrash",
            product,
            &["signal 9 (SIGKILL)"],
        ),
        healthy("process stopped from outside").acting(Act::Signal(Signal::STOP)).lasting(30_000).caught(
            "ConsensusLiveness",
            product,
            &["validator-1 is", "behind the best"],
        ),
    ];
    rows.iter_mut().enumerate().for_each(|(number, row)| row.number = number);
    rows
}

/// Slots are long enough that a node which waits for a processor is not behind by blocks.
fn two() -> TopologyBuilder {
    Topology::two_validators().slot(Duration::from_secs(1)).security_param(5)
}

fn healthy(name: &'static str) -> Row {
    Row {
        number: 0,
        name,
        caught: None,
        told_by: &[],
        act: Act::Nothing,
        only_local: false,
        topology: two(),
        window: Duration::from_secs(16),
        publishes: false,
        latency: None,
    }
}

fn fault(name: &'static str, nodes: &[&str], path: &str, value: Value) -> Row {
    let row = healthy(name);
    let topology = nodes.iter().fold(row.topology, |topology, node| {
        topology.with_node(*node, |node| node.config(path, value.clone()))
    });
    Row { topology, ..row }
}

impl Row {
    fn caught(self, by: &'static str, class: FailureClass, told_by: &'static [&'static str]) -> Self {
        Self { caught: Some(Caught { by, class }), told_by, ..self }
    }

    fn acting(self, act: Act) -> Self {
        Self { act, only_local: true, ..self }
    }

    fn lasting(self, milliseconds: u64) -> Self {
        Self { window: Duration::from_millis(milliseconds), ..self }
    }

    fn on_local(self, topology: TopologyBuilder) -> Self {
        Self { topology, only_local: true, ..self }
    }

    /// A single validator, since another would make up for what it leaves out, and slots enough to count.
    fn alone(self) -> Self {
        Self { topology: self.topology.validators(1).slot(Duration::from_millis(500)), ..self }
    }

    /// Slots in which nodes that answer late are not behind, and a bound on how late they may answer.
    fn slow(self) -> Self {
        let latency = TransactionLatency::default();
        let latency = latency.at_most(TransactionStage::Pooled, 0.75, Duration::from_secs(2));
        Self { topology: self.topology.slot(Duration::from_secs(4)), latency: Some(latency), ..self }
    }

    fn on_data(self) -> Self {
        let (topology, window) = (self.topology.validators(3).executors(2), Duration::from_secs(15));
        Self { topology, window, publishes: true, ..self }
    }

    pub(crate) fn is_told_by(&self, text: &str) -> bool {
        self.caught.as_ref().is_some_and(|caught| text.starts_with(caught.by))
            && self.told_by.iter().all(|part| match part.strip_prefix('!') {
                Some(part) => !text.contains(part),
                None => text.contains(part),
            })
    }

    pub(crate) fn scenario(
        &self,
        judged: impl FnOnce(ScenarioBuilder) -> ScenarioBuilder,
    ) -> anyhow::Result<Scenario> {
        let builder = judged(ScenarioBuilder::with_topology(self.topology.clone()));
        // By this seed each executor gets some of the first blobs, one on each channel.
        let builder = builder.with_run_duration(self.window).with_seed(5);
        let builder = self.latency.iter().cloned().fold(builder, ScenarioBuilder::with_expectation);
        let blobs = |builder: ScenarioBuilder| builder.da_with(|da| da.channel_rate(4).blob_rate(1));
        Ok(if self.publishes { blobs(builder) } else { builder }.build()?)
    }
}

/// Sends a signal to the process that runs with a node's configuration.
pub(crate) fn signal_node(cx: &RunContext, node: &str, signal: Signal) -> anyhow::Result<()> {
    let config = cx.cluster_directory().join("nodes").join(node);
    let config = config.to_string_lossy();
    let runs_it = |process: &std::fs::DirEntry| {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&*config)
    };
    let process = std::fs::read_dir("/proc")?.flatten().find(runs_it).context("no process of the node")?;
    let pid: i32 = process.file_name().to_string_lossy().parse()?;
    Ok(kill_process(Pid::from_raw(pid).context("a process has a number above 0")?, signal)?)
}
