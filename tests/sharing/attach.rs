//! Scenarios on a cluster that another invocation kept, or that somebody else runs.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use logos_scenario::plan::{Binding, Bindings, PlannedNode};
use logos_scenario::{ChainAgreement, ScenarioBuilder, ScenarioBuilderExt, Topology};
use logos_scenario_devnode::Devnode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use super::keeper::Ends;
use super::runner::Invocation;
use super::{Files, demand, has};

/// How long a keeper may take to end its clusters on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);
const PAYS: &str = "local::suite::single::e";

/// What an invocation said that ran cases by their names; whether it succeeded.
fn run(files: &Files, env: &[(&str, &str)], cases: &[&str]) -> Result<(bool, String), Failed> {
    let args = [&["--exact"], cases].concat();
    Invocation::start_with("cargo", &files.name, 55, &args, env)?.end()
}

/// The word that follows a text.
fn after<'a>(said: &'a str, text: &str) -> Result<&'a str, Failed> {
    let (_, rest) = said.split_once(text).ok_or_else(|| format!("no `{text}` in:\n{said}"))?;
    Ok(rest.split([' ', ';', '`']).next().unwrap_or_default())
}

/// Each of two invocations pays from accounts that the ones before did not use; what needs another cluster is told so.
pub(crate) fn scenarios_run_on_a_kept_cluster() -> Result<(), Failed> {
    let files = Files::of("attach")?;
    let _ends = Ends(&files.name);
    let (passed, said) = run(&files, &[("SCENARIO_KEEP", "all")], &[PAYS])?;
    demand(passed, &said)?;
    let (file, keeper) = (after(&said, "SCENARIO_ATTACH=")?, after(&said, "`kill ")?);
    let keeper = Pid::from_raw(keeper.parse()?).ok_or("the keeper has a pid")?;
    let attached = [("SCENARIO_ATTACH", file)];
    let outcome = attached_twice(&files, &attached).and_then(|()| others_are_refused(&files, &attached));
    kill_process(keeper, Signal::TERM)?;
    outcome?;
    is_told_when_it_is_gone(&files, &attached)?;
    files.remove()
}

fn attached_twice(files: &Files, attached: &[(&str, &str)]) -> Result<(), Failed> {
    for _ in 0..2 {
        let cases = [PAYS, "local::suite::single::f", "local::suite::single::a"];
        let (passed, said) = run(files, attached, &cases)?;
        demand(passed && said.contains("3 passed"), said)?;
    }
    Ok(())
}

fn others_are_refused(files: &Files, attached: &[(&str, &str)]) -> Result<(), Failed> {
    let cases =
        ["local::suite::pair::a", "local::suite::harm::a_stops_a_node", "compose::suite::contained::a"];
    let (passed, said) = run(files, attached, &cases)?;
    demand(!passed, "a scenario for another cluster ran on this one")?;
    let repeat = format!("repeat with: SCENARIO_ATTACH={} SCENARIO_SEED=", attached[0].1);
    let told = [
        repeat.as_str(),
        "it was kept after local::suite::single::e, whose topology, consensus, accounts or node program are others",
        "it wants its cluster to itself, and SCENARIO_ATTACH names one that others may use",
        "SCENARIO_ATTACH names a cluster of backend `local`",
    ];
    has(&said, &told)
}

fn is_told_when_it_is_gone(files: &Files, attached: &[(&str, &str)]) -> Result<(), Failed> {
    let began = Instant::now();
    loop {
        let (passed, said) = run(files, attached, &[PAYS])?;
        if !passed {
            return has(&said, &["validator-0: does not answer at 127.", "code: I02"]);
        }
        demand(began.elapsed() < WITHIN, "the cluster outlives its keeper")?;
    }
}

/// Two nodes that no backend started, and that end with this.
struct Foreign {
    _nodes: Vec<Ended>,
    directory: TempDir,
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Foreign {
    fn start() -> Result<Self, Failed> {
        let directory = tempfile::tempdir()?;
        let scenario =
            ScenarioBuilder::with_topology(Topology::two_validators().slot(Duration::from_millis(230)))
                .with_program(Devnode::at(env!("CARGO_BIN_EXE_devnode")))
                .with_expectation(ChainAgreement::default())
                .build()?;
        let plan = scenario.plan("none");
        let bindings = Bindings::new(&plan, |index, node| {
            Binding::new(format!("127.0.78.{}", 10 + index), node, directory.path().join(&node.name))
        });
        let rendered = plan.render(&bindings)?;
        let nodes = rendered.iter().map(|node| Self::node(node, &bindings.nodes[&node.name].directory));
        Ok(Self { _nodes: nodes.collect::<Result<_, _>>()?, directory })
    }

    fn node(node: &PlannedNode, directory: &Path) -> Result<Ended, Failed> {
        fs::create_dir_all(directory)?;
        for file in &node.files {
            fs::write(directory.join(&file.path), &file.text)?;
        }
        #[expect(clippy::disallowed_methods, reason = "nodes that no backend starts")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_devnode"));
        let log = fs::File::create(directory.with_extension("log"))?;
        command.args(&node.args).env_clear().envs(&node.env).stdin(Stdio::null()).stdout(log.try_clone()?);
        Ok(Ended(command.stderr(log).spawn()?))
    }

    /// What somebody writes who knows where they answer.
    fn file(&self, names: [&str; 2]) -> Result<String, Failed> {
        let node = |(index, name): (usize, &str)| {
            let url = format!("http://127.0.78.{}:18080", 10 + index);
            json!({ "name": name, "role": "validator", "url": url })
        };
        let nodes: Vec<_> = names.into_iter().enumerate().map(node).collect();
        let path = self.directory.path().join("nodes.json");
        fs::write(&path, json!({ "nodes": nodes }).to_string())?;
        Ok(path.display().to_string())
    }
}

/// Where the nodes answer is enough for what only looks at them; what takes more is told so.
pub(crate) fn scenarios_run_on_nodes_of_somebody_else() -> Result<(), Failed> {
    let (files, foreign) = (Files::of("foreign")?, Foreign::start()?);
    let file = foreign.file(["validator-0", "validator-1"])?;
    let attached = [("SCENARIO_ATTACH", file.as_str())];
    answers("127.0.78.11:18080")?;
    let (passed, said) = run(&files, &attached, &["local::suite::pair::a", "local::suite::pair::b"])?;
    demand(passed && said.contains("2 passed"), said)?;
    let cases = ["local::suite::pair::e", "local::suite::single::a", "local::suite::harm::a_stops_a_node"];
    let (passed, said) = run(&files, &attached, &cases)?;
    demand(!passed, "what nobody can do was done")?;
    let told = [
        "described by hand: nobody here has keys of its accounts",
        "its file names validator-0 (validator), validator-1 (validator), and the scenario has validator-0 (validator)",
        "it wants its cluster to itself, and SCENARIO_ATTACH names one that others may use",
    ];
    has(&said, &told)?;
    let wrong = foreign.file(["validator-0", "validator-0"])?;
    let (_, said) = run(&files, &[("SCENARIO_ATTACH", &wrong)], &["local::suite::pair::a"])?;
    has(&said, &["nodes[1].name: `validator-0` is there twice", "or write one by hand: {\"nodes\""])?;
    files.remove()
}

fn answers(address: &str) -> Result<(), Failed> {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        demand(began.elapsed() < WITHIN, format_args!("nobody answers at {address}"))?;
        std::thread::yield_now();
    }
    Ok(())
}
