//! Scenarios on a cluster that another invocation kept.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};

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
    let told = [
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
