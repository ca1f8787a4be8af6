//! What is left when a run does not end well: this program runs itself as a test program of scenarios on
//! real nodes, ends that in various ways, and looks for what remains.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use logos_scenario::prelude::*;
use logos_scenario::report::{Phase, Record, SCHEMA, Verdict};
use logos_scenario_devnode::Devnode;
use rustix::process::{Pid, Signal, kill_process};

/// The first argument of the inner program, and of the keeper that it starts.
const INNER: &str = "inner";
const KEEPER: &str = "--scenario-keeper";
const WITHIN: Duration = Duration::from_secs(30);

type Check = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    let mut args = std::env::args();
    let program = args.next().into_iter();
    let first = args.next();
    if first.as_deref().is_some_and(|first| first == INNER || first == KEEPER) {
        let program = program.chain(first.filter(|first| first == KEEPER));
        let devnode = Devnode::at(env!("CARGO_BIN_EXE_devnode"));
        return logos_scenario::harness::run(
            program.chain(args),
            logos_scenario::harness::Program { main_crate: module_path!(), libraries: &[] },
            devnode,
            &logos_scenario::backends(),
        );
    }
    let checks: [(&str, Check); 12] = [
        ("ctrl_c_tears_down", || ended_by(Signal::INT)),
        ("sigterm_tears_down", || ended_by(Signal::TERM)),
        ("sigkill_takes_the_nodes_along", sigkill_takes_the_nodes_along),
        ("sigkill_leaves_a_report_of_the_phases_so_far", sigkill_leaves_a_report_of_the_phases_so_far),
        ("ctrl_c_before_a_node_started_leaves_none", || ended_while_deploying(Signal::INT, false)),
        ("ctrl_c_when_a_node_started_leaves_none", || ended_while_deploying(Signal::INT, true)),
        ("sigkill_before_a_node_started_leaves_none", || ended_while_deploying(Signal::KILL, false)),
        ("sigkill_when_a_node_started_leaves_none", || ended_while_deploying(Signal::KILL, true)),
        ("a_keeper_killed_in_a_fault_leaves_nothing", a_keeper_killed_in_a_fault_leaves_nothing),
        ("a_panicking_body_leaves_logs_only", a_panicking_body_leaves_logs_only),
        (
            "a_cluster_that_is_kept_is_told_and_ended_by_hand",
            a_cluster_that_is_kept_is_told_and_ended_by_hand,
        ),
        ("a_failed_deploy_leaves_its_report_only", a_failed_deploy_leaves_its_report_only),
    ];
    let trials = checks.map(|(name, check)| Trial::test(name, check)).into();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[scenario(validators = 3, slot = "500ms", duration = "10m")]
async fn goes_on(run: &mut Run) -> Result {
    run.transactions_with(|tx| tx.rate(1)).expect_consensus_liveness();
    run.drive().await
}

#[scenario(validators = 2, slot = "500ms", duration = "10m")]
async fn panics(run: &mut Run) {
    run.expect_consensus_liveness();
    panic!("the body gave up");
}

#[scenario(validators = 4, layout = "full", slot = "500ms", duration = "10m", faults)]
async fn is_parted(run: &mut Run) -> Result {
    let faults = run.faults()?;
    faults.isolate("validator-3").await?;
    eprintln!("validator-3 is isolated");
    run.expect_consensus_liveness();
    run.drive().await
}

struct Inner {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    /// The folder of its invocation.
    directory: PathBuf,
    /// Nodes that there may be at once: another number for each, so that each has a keeper of its own.
    most: String,
}

impl Inner {
    /// Starts one case, and reads what it says up to a line that ends its deployment.
    fn start(case: &str, env: &[(&str, &str)]) -> Result<Self, Failed> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let invocation = format!("leftovers-{}-{number}", std::process::id());
        let most = (60 + number).to_string();
        #[expect(clippy::disallowed_methods, reason = "this program runs itself")]
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command
            .args([INNER, "--exact", case])
            .env("NEXTEST_RUN_ID", &invocation)
            .env("SCENARIO_MAX_NODES", &most)
            .env_remove("NEXTEST_ATTEMPT")
            .env_remove("RUST_BACKTRACE")
            .envs(env.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = BufReader::new(child.stderr.take().ok_or("stderr is piped")?);
        let target = Path::new(env!("CARGO_BIN_EXE_devnode"))
            .ancestors()
            .nth(2)
            .ok_or("it is in the target folder")?;
        let directory = target.join("scenario").join(invocation);
        Ok(Self { child, stderr, directory, most })
    }

    /// Reads until a line has the text.
    fn until(&mut self, text: &str) -> Result<(), Failed> {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            if self.stderr.read_line(&mut line)? == 0 {
                return Err(format!("it ended before it said `{text}`").into());
            }
        }
        Ok(())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The processes that run with its files, whoever their parent is.
    fn nodes(&self) -> Result<Vec<u32>, Failed> {
        let here = self.directory.to_string_lossy();
        let processes = std::fs::read_dir("/proc")?.flatten();
        let runs_here = processes.filter(|process| {
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&*here)
        });
        Ok(runs_here.filter_map(|process| process.file_name().to_string_lossy().parse().ok()).collect())
    }

    /// Waits for its end; what it still said, and its exit code.
    fn end(&mut self) -> Result<(String, Option<i32>), Failed> {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        Ok((said, self.child.wait()?.code()))
    }

    /// Waits until its keeper has no cluster any more, and no node is left.
    fn all_gone(&self) -> Result<(), Failed> {
        until(|| {
            let (clusters, nodes) = (self.clusters()?, self.nodes()?);
            let gone = !clusters.contains(&self.directory.display().to_string()) && nodes.is_empty();
            Ok(demand(gone, format!("processes {nodes:?} are left, and {clusters}")))
        })
    }

    /// What is told of the clusters there are.
    fn clusters(&self) -> Result<String, Failed> {
        #[expect(clippy::disallowed_methods, reason = "this program runs itself")]
        let mut command = Command::new(std::env::current_exe()?);
        let listed = command.args([INNER, "--clusters"]).env("SCENARIO_MAX_NODES", &self.most).output()?;
        demand(listed.status.success(), String::from_utf8_lossy(&listed.stderr))?;
        Ok(String::from_utf8_lossy(&listed.stdout).into_owned())
    }

    /// The files in its directory, which is removed.
    fn files(&self) -> Result<Vec<String>, Failed> {
        let mut found = Vec::new();
        let mut folders = vec![self.directory.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(within(path.strip_prefix(&self.directory)?)),
                }
            }
        }
        found.sort();
        std::fs::remove_dir_all(&self.directory)?;
        Ok(found)
    }
}

/// A file's path within its run, or within its cluster; the index is within neither.
fn within(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts[2.min(parts.len() - 1)..].join("/")
}

fn demand(holds: bool, what: impl std::fmt::Display) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what.to_string().into()) }
}

/// Waits until what is demanded holds; what cannot be looked at fails at once.
fn until(look: impl Fn() -> Result<Result<(), Failed>, Failed>) -> Result<(), Failed> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let demanded = look()?;
        if demanded.is_ok() || Instant::now() >= deadline {
            return demanded;
        }
        std::thread::yield_now();
    }
}

/// Logs and configurations of so many validators, what the run wrote of itself, and nothing else.
fn only_logs(files: &[String], validators: usize) -> Result<(), Failed> {
    let own = ["events.jsonl", "index.html", "report.html", "report.json"].map(str::to_owned);
    let configs = (0..validators).map(|node| format!("nodes/validator-{node}/config.yaml"));
    let logs = (0..validators).map(|node| format!("validator-{node}.log"));
    let mut expected: Vec<_> = own.into_iter().chain(configs).chain(logs).collect();
    expected.sort();
    demand(files == expected, format!("expected {expected:?}\nseen {files:?}"))
}

fn ended_by(signal: Signal) -> Result<(), Failed> {
    let mut inner = Inner::start("goes_on", &[])?;
    inner.until("ready after")?;
    let nodes = inner.nodes()?;
    demand(nodes.len() == 3, format!("nodes: {nodes:?}"))?;
    kill_process(inner.pid(), signal)?;
    let (said, code) = inner.end()?;
    demand(code == Some(101), format!("exit code {code:?}; it said:\n{said}"))?;
    demand(inner.nodes()?.is_empty(), "nodes are left after the program")?;
    inner.all_gone()?;
    only_logs(&inner.files()?, 3)
}

/// Ends the run as soon as it deploys, or as soon as there is a first node.
fn ended_while_deploying(signal: Signal, with_node: bool) -> Result<(), Failed> {
    let mut inner = Inner::start("goes_on", &[])?;
    inner.until("deploying")?;
    if with_node {
        until(|| Ok(demand(!inner.nodes()?.is_empty(), "no node started")))?;
    }
    kill_process(inner.pid(), signal)?;
    let (said, code) = inner.end()?;
    let expected = (signal == Signal::INT).then_some(101);
    demand(code == expected, format!("exit code {code:?}, expected {expected:?}; it said:\n{said}"))?;
    inner.all_gone()?;
    inner.files().map(drop)
}

fn sigkill_takes_the_nodes_along() -> Result<(), Failed> {
    let mut inner = Inner::start("goes_on", &[])?;
    inner.until("ready after")?;
    let nodes = inner.nodes()?;
    demand(nodes.len() == 3, format!("nodes: {nodes:?}"))?;
    kill_process(inner.pid(), Signal::KILL)?;
    inner.end()?;
    inner.all_gone()?;
    inner.files().map(drop)
}

/// What was known when the run was killed is told, and nothing by halves.
fn sigkill_leaves_a_report_of_the_phases_so_far() -> Result<(), Failed> {
    let mut inner = Inner::start("goes_on", &[("SCENARIO_SEED", "4711")])?;
    inner.until("ready after")?;
    let directory = inner.directory.join("local.goes_on/1");
    until(|| {
        let report = std::fs::read_to_string(directory.join("report.json"))?;
        Ok(demand(report.contains(r#""drive""#), "the drive did not begin"))
    })?;
    kill_process(inner.pid(), Signal::KILL)?;
    inner.end()?;
    inner.all_gone()?;
    let record = std::fs::read_to_string(directory.join("report.json"))?;
    let record: Record = serde_json::from_str(&record)?;
    let phases: Vec<_> = record.phases.iter().map(|it| (it.phase, it.seconds.is_some())).collect();
    let expected = [Phase::Queue, Phase::Deploy, Phase::Ready, Phase::Capture].map(|phase| (phase, true));
    demand(phases == [&expected[..], &[(Phase::Drive, false)]].concat(), format!("{phases:?}"))?;
    let told = (record.schema, record.seed, record.nodes.len(), record.verdict);
    demand(told == (SCHEMA, 4711, 3, Verdict::Running), format!("{told:?}"))?;
    let events = std::fs::read_to_string(directory.join("events.jsonl"))?;
    for line in events.lines() {
        serde_json::from_str::<serde_json::Value>(line)?;
    }
    inner.files().map(drop)
}

/// The keeper is the relay, too.
fn a_keeper_killed_in_a_fault_leaves_nothing() -> Result<(), Failed> {
    let mut inner = Inner::start("is_parted", &[])?;
    inner.until("validator-3 is isolated")?;
    let nodes = inner.nodes()?;
    let node = nodes.first().ok_or("no node runs")?;
    let status = std::fs::read_to_string(format!("/proc/{node}/status"))?;
    let keeper = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
    let keeper = keeper.and_then(Pid::from_raw).ok_or("the node has no parent")?;
    demand(keeper != inner.pid(), "nodes are the keeper's")?;
    kill_process(keeper, Signal::KILL)?;
    let (said, code) = inner.end()?;
    demand(code == Some(101) && said.contains("infrastructure"), format!("{code:?}:\n{said}"))?;
    inner.all_gone()?;
    inner.files().map(drop)
}

fn a_panicking_body_leaves_logs_only() -> Result<(), Failed> {
    let mut inner = Inner::start("panics", &[])?;
    inner.until("ready after")?;
    let (said, code) = inner.end()?;
    demand(code == Some(101) && said.contains("a panic: the body gave up"), format!("{code:?}:\n{said}"))?;
    inner.all_gone()?;
    only_logs(&inner.files()?, 2)
}

/// The cluster of a case that failed outlives its program until it is ended by hand.
fn a_cluster_that_is_kept_is_told_and_ended_by_hand() -> Result<(), Failed> {
    let mut inner = Inner::start("panics", &[("SCENARIO_KEEP", "failed")])?;
    inner.until("ready after")?;
    let (said, code) = inner.end()?;
    let told =
        said.lines().find(|line| line.contains("its cluster is kept for an hour: validator-0=http://127."));
    let keeper = told.and_then(|line| line.split("`kill ").nth(1)?.split('`').next());
    let keeper = keeper.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    let keeper = keeper.ok_or_else(|| format!("{code:?}; it said:\n{said}"))?;
    let nodes = inner.nodes()?;
    let clusters = inner.clusters()?;
    kill_process(keeper, Signal::TERM)?;
    demand(nodes.len() == 2, format!("nodes of a kept cluster: {nodes:?}"))?;
    demand(clusters.contains("kept for 3"), clusters)?;
    inner.all_gone()?;
    // It ends when it has cleared up. A process that ended and waits for its parent has no command line.
    let command = format!("/proc/{}/cmdline", keeper.as_raw_nonzero());
    until(|| Ok(demand(std::fs::read(&command).unwrap_or_default().is_empty(), "the keeper goes on")))?;
    let (attach, others): (Vec<_>, Vec<_>) = inner.files()?.into_iter().partition(|it| it == "attach.json");
    demand(attach.len() == 1, "nothing says how to attach to it")?;
    only_logs(&others, 2)
}

fn a_failed_deploy_leaves_its_report_only() -> Result<(), Failed> {
    let mut inner = Inner::start("goes_on", &[("NOMOS_NODE_BIN", "/no/such/node")])?;
    let (said, code) = inner.end()?;
    let told = said.contains("NOMOS_NODE_BIN is `/no/such/node`, where there is no file");
    demand(code == Some(101) && told, format!("{code:?}:\n{said}"))?;
    only_logs(&inner.files()?, 0)
}
