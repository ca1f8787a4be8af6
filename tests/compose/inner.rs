//! This program once more, as a test program of scenarios in containers: what becomes of them, what it says, and
//! what it leaves when it is over.

use std::os::unix::net::UnixListener;
use std::process::{Command, ExitCode, ExitStatus, Output, Stdio};

use anyhow::{Context, anyhow, ensure};
use futures::future::join_all;
use logos_scenario::ChainAgreement;
use logos_scenario::harness::{self, Program};
use logos_scenario::prelude::*;
use logos_scenario::topology::TopologyBuilder;
use logos_scenario::wait;
use logos_scenario_devnode::Devnode;
use logos_scenario_tests::inner::{Inner, are_logs_of};
use rustix::process::{Pid, Signal, kill_process};

use crate::engine::{docker, labelled};
use crate::{Outcome, WITHIN};

/// The first argument of the inner program.
pub(crate) const INNER: &str = "inner";
/// With this begins the first argument of the keeper that the inner program starts.
pub(crate) const KEEPER: &str = "--scenario-keeper";
/// The variable by which the nodes of one inner program are told from those of all others.
const MARK: &str = "INNER_MARK";

pub(crate) fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let this = Program { main_crate: module_path!(), libraries: &[] };
    harness::run(args, this, Devnode::default(), &logos_scenario::backends())
}

/// Gives the mark on to a node, whose container bears it then.
fn marked(topology: TopologyBuilder) -> TopologyBuilder {
    let mark = std::env::vars().find(|(name, _)| name == MARK).unwrap_or_default().1;
    topology.with_node("validator-0", |node| node.env(MARK, mark))
}

#[scenario(backend = "compose", validators = 2, slot = "300ms", duration = "10m", topology = marked)]
async fn goes_on(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

#[scenario(backend = "compose", validators = 2, slot = "300ms", duration = "6s", topology = marked)]
async fn passes(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

/// What it says when its fault is in force.
const PARTED: &str = "validator-1 is isolated";

#[scenario(backend = "compose", validators = 2, slot = "300ms", duration = "10m", topology = marked, faults)]
async fn is_parted(run: &mut Run) -> Result {
    run.with_expectation(ChainAgreement::default());
    run.faults()?.isolate("validator-1").await?;
    eprintln!("{PARTED}");
    run.drive().await
}

fn panicking(topology: TopologyBuilder) -> TopologyBuilder {
    marked(topology).with_node("validator-1", |node| node.config("faults.panic_at", 8))
}

#[scenario(backend = "compose", validators = 2, slot = "300ms", duration = "10m", topology = panicking)]
async fn fails(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

/// Nodes take requests of ten megabytes, of which a few are more than all the memory that there is here.
#[scenario(backend = "compose", slot = "300ms", duration = "10m", topology = marked)]
async fn needs_memory(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    let started = run.start().await?;
    let client = started.context().node_clients().by_name("validator-0").context("it is planned")?;
    let large = serde_json::Value::from("x".repeat(9 << 20));
    // That these fail is the point.
    join_all((0..8).map(|_| client.submit_transaction(&large))).await;
    started.finish().await?;
    Ok(())
}

fn command(case: &str, mark: &str) -> anyhow::Result<Command> {
    #[expect(clippy::disallowed_methods, reason = "this program runs itself")]
    let mut command = Command::new(std::env::current_exe()?);
    command.args([INNER, "--exact", case]).env(MARK, mark).env_remove("SCENARIO_REQUIRE");
    Ok(command)
}

fn new_mark() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// Runs a case to its end with some settings; what it said, and its exit code.
fn outcome(case: &str, settings: &[(&str, &str)]) -> anyhow::Result<(String, Option<i32>)> {
    let output = command(case, &new_mark())?.envs(settings.iter().copied()).output();
    let Output { status, stdout, stderr } = output?;
    Ok((format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)), status.code()))
}

/// Runs a case, ends it with a signal if there is one, and waits until the engine has nothing of its cluster.
async fn ends(case: &str, signal: Option<Signal>) -> anyhow::Result<ExitStatus> {
    let mark = new_mark();
    let mut inner = command(case, &mark)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let runs = || async { of_mark(&mark) };
    let found = wait::until("a running container", WITHIN, runs).await;
    if let Some(signal) = signal.or(found.is_err().then_some(Signal::KILL)) {
        kill_process(Pid::from_child(&inner), signal)?;
    }
    let status = tokio::task::spawn_blocking(move || inner.wait()).await??;
    nothing_is_left(&found.map_err(|error| anyhow!("{error}"))?).await?;
    Ok(status)
}

/// Waits until the engine has nothing of a cluster.
async fn nothing_is_left(cluster: &str) -> Outcome {
    let label = format!("logos-scenario.cluster={cluster}");
    let gone = || async {
        let left = labelled(&label).map_err(|error| error.to_string())?;
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    };
    wait::until("the end of all it had", WITHIN, gone).await.map_err(|error| anyhow!("{error}"))
}

/// The cluster whose running node bears the mark.
fn of_mark(mark: &str) -> Result<String, String> {
    let run = |arguments: &[&str]| docker(arguments).map_err(|error| format!("{error:#}"));
    let filter = "label=logos-scenario.cluster";
    let running =
        run(&["ps", "--filter", filter, "--format", "{{.Names}} {{.Label \"logos-scenario.cluster\"}}"])?;
    let is_marked = |container: &str| {
        // It may be gone by now.
        let env = run(&["inspect", "--format", "{{.Config.Env}}", container]).unwrap_or_default();
        env.contains(mark)
    };
    let mut marked = running.lines().filter_map(|line| line.split_once(' '));
    let (_, cluster) = marked.find(|(container, _)| is_marked(container)).ok_or("none is marked")?;
    Ok(cluster.to_owned())
}

async fn leaves_nothing(case: &str, signal: Option<Signal>, code: Option<i32>) -> Outcome {
    let status = ends(case, signal).await?;
    ensure!(status.code() == code, "{case} ended with {status}");
    Ok(())
}

pub(crate) async fn nothing_is_left_of_a_pass() -> Outcome {
    leaves_nothing("passes", None, Some(0)).await
}

pub(crate) async fn nothing_is_left_of_a_failure() -> Outcome {
    leaves_nothing("fails", None, Some(101)).await
}

pub(crate) async fn nothing_is_left_after_ctrl_c() -> Outcome {
    leaves_nothing("goes_on", Some(Signal::INT), Some(101)).await
}

pub(crate) async fn nothing_is_left_after_sigterm() -> Outcome {
    leaves_nothing("goes_on", Some(Signal::TERM), Some(101)).await
}

pub(crate) async fn nothing_is_left_after_sigkill() -> Outcome {
    leaves_nothing("goes_on", Some(Signal::KILL), None).await
}

/// The containers are not the keeper's children, and nobody but its watcher is left to remove them.
pub(crate) async fn nothing_is_left_when_the_keeper_is_killed_in_a_fault() -> Outcome {
    let mark = new_mark();
    let mut command = command("is_parted", &mark)?;
    // Other settings make a keeper of its own, and under nextest a failure is told at once.
    command.env("SCENARIO_NODE_CPUS", format!("1.{}", rand::random::<u16>())).env("NEXTEST_RUN_ID", &mark);
    let inner = Inner::start(command, PARTED)?;
    let cluster = of_mark(&mark).map_err(|error| anyhow!("{error}"))?;
    let of = format!("label=logos-scenario.cluster={cluster}");
    let owners = docker(&["ps", "--filter", &of, "--format", "{{.Label \"logos-scenario.owner\"}}"])?;
    let keeper = owners.split('/').nth(2).with_context(|| format!("no process in {owners}"))?;
    ensure!(keeper != inner.id().to_string(), "the cluster is the keeper's");
    kill_process(Pid::from_raw(keeper.parse()?).context("it is a process")?, Signal::KILL)?;
    inner.fails(&["infrastructure"])?;
    nothing_is_left(&cluster).await
}

pub(crate) fn told(case: &str, settings: &[(&str, &str)], code: i32, text: &str) -> Outcome {
    let (said, ended) = outcome(case, settings)?;
    ensure!(ended == Some(code) && said.contains(text), "exit code {ended:?}, no `{text}` in:\n{said}");
    Ok(())
}

pub(crate) async fn a_remote_engine_is_refused() -> Outcome {
    for host in ["tcp://203.0.113.1:2375", "ssh://somebody@203.0.113.1"] {
        let why = format!("DOCKER_HOST is `{host}`: a remote engine");
        told("passes", &[("DOCKER_HOST", host)], 0, &format!("ignored ({why}"))?;
        told("passes", &[("DOCKER_HOST", host), ("SCENARIO_REQUIRE", "compose")], 101, &why)?;
    }
    Ok(())
}

/// It is there, so that this is no skip: once nobody listens any more, once somebody says nothing.
pub(crate) async fn an_engine_that_does_not_answer_is_told() -> Outcome {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("engine.sock");
    let host = format!("unix://{}", socket.display());
    let silent = UnixListener::bind(&socket)?;
    told("passes", &[("DOCKER_HOST", &host)], 101, "container engine: did not answer within 10 s")?;
    drop(silent);
    told("passes", &[("DOCKER_HOST", &host)], 101, "container engine: does not work: Connection refused")
}

pub(crate) async fn logs_are_kept_where_a_setting_says() -> Outcome {
    let directory = tempfile::tempdir()?;
    let setting = directory.path().display().to_string();
    told("passes", &[("NOMOS_LOG_DIR", &setting)], 0, "1 passed")?;
    are_logs_of(directory.path(), &["validator-0.log", "validator-1.log"]).await
}

pub(crate) async fn a_node_that_is_out_of_memory_is_told() -> Outcome {
    let settings = [("SCENARIO_NODE_MEMORY", "32m")];
    told("needs_memory", &settings, 101, "signal 9 (SIGKILL), since it was out of memory")
}
