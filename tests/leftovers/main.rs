//! What is left when a run does not end well: this program runs itself as a test program of scenarios on
//! real nodes, ends that in various ways, and looks for what remains.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use logos_scenario::prelude::*;
use logos_scenario_devnode::Devnode;
use rustix::process::{Pid, Signal, kill_process};

/// The first argument of the inner program.
const INNER: &str = "inner";
const WITHIN: Duration = Duration::from_secs(30);

type Check = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    let mut args = std::env::args();
    let program = args.next().into_iter();
    if args.next().as_deref() == Some(INNER) {
        let devnode = Devnode::at(env!("CARGO_BIN_EXE_devnode"));
        return logos_scenario::harness::run(
            program.chain(args),
            logos_scenario::harness::Program { main_crate: module_path!(), libraries: &[] },
            devnode,
            &logos_scenario::backends(),
        );
    }
    let checks: [(&str, Check); 9] = [
        ("ctrl_c_tears_down", || ended_by(Signal::INT)),
        ("sigterm_tears_down", || ended_by(Signal::TERM)),
        ("sigkill_takes_the_nodes_along", sigkill_takes_the_nodes_along),
        ("ctrl_c_before_a_node_started_leaves_none", || ended_while_deploying(Signal::INT, false)),
        ("ctrl_c_when_a_node_started_leaves_none", || ended_while_deploying(Signal::INT, true)),
        ("sigkill_before_a_node_started_leaves_none", || ended_while_deploying(Signal::KILL, false)),
        ("sigkill_when_a_node_started_leaves_none", || ended_while_deploying(Signal::KILL, true)),
        ("a_panicking_body_leaves_logs_only", a_panicking_body_leaves_logs_only),
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

struct Inner {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    /// The run's directory.
    directory: PathBuf,
}

impl Inner {
    /// Starts one case, and reads what it says up to a line that ends its deployment.
    fn start(case: &str, env: &[(&str, &str)]) -> Result<Self, Failed> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let invocation = format!("leftovers-{}-{number}", std::process::id());
        #[expect(clippy::disallowed_methods, reason = "this program runs itself")]
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command
            .args([INNER, "--exact", case])
            .env("NEXTEST_RUN_ID", &invocation)
            .env_remove("NEXTEST_ATTEMPT")
            .envs(env.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = BufReader::new(child.stderr.take().ok_or("stderr is piped")?);
        let target = Path::new(env!("CARGO_BIN_EXE_devnode"))
            .ancestors()
            .nth(2)
            .ok_or("it is in the target folder")?;
        let directory = target.join("scenario").join(invocation).join(format!("local.{case}/1"));
        Ok(Self { child, stderr, directory })
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

    /// The processes that it started.
    fn children(&self) -> Result<Vec<u32>, Failed> {
        let mut children = Vec::new();
        for process in std::fs::read_dir("/proc")?.flatten() {
            let Ok(pid) = process.file_name().to_string_lossy().parse() else { continue };
            let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            if after_name.split(' ').nth(1) == Some(&self.child.id().to_string()) {
                children.push(pid);
            }
        }
        Ok(children)
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

    /// The files in its directory, which is removed.
    fn files(&self) -> Result<Vec<String>, Failed> {
        let mut found = Vec::new();
        let mut folders = vec![self.directory.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(path.strip_prefix(&self.directory)?.display().to_string()),
                }
            }
        }
        found.sort();
        let invocation = self.directory.ancestors().nth(2).ok_or("it is below its invocation")?;
        std::fs::remove_dir_all(invocation)?;
        Ok(found)
    }
}

fn all_gone(pids: &[u32]) -> Result<(), Failed> {
    let deadline = Instant::now() + WITHIN;
    let lives = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
    while pids.iter().any(lives) {
        if Instant::now() > deadline {
            let left: Vec<_> = pids.iter().filter(|pid| lives(pid)).collect();
            return Err(format!("processes are left: {left:?}").into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

fn demand(holds: bool, what: impl std::fmt::Display) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what.to_string().into()) }
}

/// Logs and configurations of so many validators, what the run wrote of itself, and nothing else.
fn only_logs(files: &[String], validators: usize) -> Result<(), Failed> {
    let own = ["events.jsonl", "report.json"].map(str::to_owned);
    let configs = (0..validators).map(|node| format!("nodes/validator-{node}/config.yaml"));
    let logs = (0..validators).map(|node| format!("validator-{node}.log"));
    let mut expected: Vec<_> = own.into_iter().chain(configs).chain(logs).collect();
    expected.sort();
    demand(files == expected, format!("expected {expected:?}\nseen {files:?}"))
}

fn ended_by(signal: Signal) -> Result<(), Failed> {
    let mut inner = Inner::start("goes_on", &[])?;
    inner.until("ready after")?;
    let nodes = inner.children()?;
    demand(nodes.len() == 3, format!("nodes: {nodes:?}"))?;
    kill_process(inner.pid(), signal)?;
    let (said, code) = inner.end()?;
    demand(code == Some(101), format!("exit code {code:?}; it said:\n{said}"))?;
    all_gone(&nodes)?;
    only_logs(&inner.files()?, 3)
}

/// Ends the run as soon as it deploys, or as soon as there is a first node.
fn ended_while_deploying(signal: Signal, with_node: bool) -> Result<(), Failed> {
    let mut inner = Inner::start("goes_on", &[])?;
    inner.until("deploying")?;
    let deadline = Instant::now() + WITHIN;
    while with_node && inner.children()?.is_empty() {
        demand(Instant::now() < deadline, "no node started")?;
        std::thread::yield_now();
    }
    kill_process(inner.pid(), signal)?;
    let (said, code) = inner.end()?;
    let expected = (signal == Signal::INT).then_some(101);
    demand(code == expected, format!("exit code {code:?}, expected {expected:?}; it said:\n{said}"))?;
    all_gone(&inner.nodes()?)?;
    inner.files().map(drop)
}

fn sigkill_takes_the_nodes_along() -> Result<(), Failed> {
    let mut inner = Inner::start("goes_on", &[])?;
    inner.until("ready after")?;
    let nodes = inner.children()?;
    demand(nodes.len() == 3, format!("nodes: {nodes:?}"))?;
    kill_process(inner.pid(), Signal::KILL)?;
    inner.end()?;
    all_gone(&nodes)?;
    inner.files().map(drop)
}

fn a_panicking_body_leaves_logs_only() -> Result<(), Failed> {
    let mut inner = Inner::start("panics", &[])?;
    inner.until("ready after")?;
    let (said, code) = inner.end()?;
    demand(code == Some(101) && said.contains("a panic: the body gave up"), format!("{code:?}:\n{said}"))?;
    only_logs(&inner.files()?, 2)
}

fn a_failed_deploy_leaves_its_report_only() -> Result<(), Failed> {
    let mut inner = Inner::start("goes_on", &[("NOMOS_NODE_BIN", "/no/such/node")])?;
    let (said, code) = inner.end()?;
    let told = said.contains("NOMOS_NODE_BIN is `/no/such/node`, where there is no file");
    demand(code == Some(101) && told, format!("{code:?}:\n{said}"))?;
    only_logs(&inner.files()?, 0)
}
