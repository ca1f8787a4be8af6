//! SIGKILL at random instants over everything that takes part: the runner, test programs, and keepers. When it is
//! over, nothing is left. Only who kills a keeper together with its watcher leaves something to the next invocation.
//!
//! A few kills in every run; `SCENARIO_STORM=100 cargo test --test sharing -- storm` is the long form.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::keeper::clusters;
use super::runner::{EACH, Invocation};
use super::{Files, INNER, demand};

/// Kills where nobody says how many.
const FEW: usize = 6;
/// For each kill so many tries: there may be nobody of the part that is to be killed.
const TRIES: usize = 100;
/// Invocations that live beside each other, by what they are.
const INVOCATIONS: [&str; 2] = ["cargo-nextest", "cargo"];
/// What is promised, on a machine that has nothing else to do: the long form wants it kept.
const PROMISED: Duration = Duration::from_secs(10);
/// When nothing may be left any more in the short form, which runs beside other tests.
const WITHIN: Duration = Duration::from_secs(60);

/// What a process of the storm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Runner,
    Test,
    Keeper,
    /// Sweeps containers when a keeper is killed.
    Watcher,
}

struct Storm {
    files: Files,
    most: usize,
    filters: Vec<&'static str>,
    /// Those of [`INVOCATIONS`] that run.
    running: [Option<Invocation>; INVOCATIONS.len()],
    kills: BTreeMap<Part, usize>,
}

pub(crate) fn over_processes() -> Result<(), Failed> {
    storm("storm", 50, vec!["single::a", "pair::", "harm::"], Duration::from_millis(900))
}

pub(crate) fn over_containers() -> Result<(), Failed> {
    storm("container-storm", 51, vec!["contained::"], Duration::from_secs(3))
}

fn storm(name: &str, most: usize, filters: Vec<&'static str>, longest: Duration) -> Result<(), Failed> {
    let files = Files::of(name)?;
    let mut storm = Storm { files, most, filters, running: [const { None }; 2], kills: BTreeMap::new() };
    let kills = how_many()?;
    let mut tries = 0;
    while storm.kills.values().sum::<usize>() < kills {
        tries += 1;
        demand(tries <= kills * TRIES, format_args!("{tries} tries, and no more than {:?}", storm.kills))?;
        storm.replenish()?;
        pass(rand::random_range(Duration::ZERO..longest));
        storm.kill_one()?;
    }
    let within = if kills > FEW { PROMISED * slowness() } else { WITHIN };
    let all = rand::random();
    storm.kill_those(|part| part == Part::Runner || (all && part != Part::Watcher))?;
    let took = storm.ends(within)?.as_secs_f64();
    eprintln!("{name}: nothing is left {took:.1} s after the last of {:?}", storm.kills);
    Ok(fs::remove_dir_all(&storm.files.folder)?)
}

/// Whoever kills everybody leaves containers to the next invocation.
pub(crate) fn over_watchers() -> Result<(), Failed> {
    const MOST: usize = 58;
    let files = Files::of("unwatched")?;
    let invocation = Invocation::start_quiet("cargo", &files.name, MOST, &["unwatched::"])?;
    let is_used = |it: &Value| {
        it["directory"].as_str().is_some_and(|path| path.contains(&files.name)) && it["granted"] == 1
    };
    clusters(|listed| listed.iter().any(is_used))?;
    let running = [Some(invocation), None];
    let mut storm =
        Storm { files, most: MOST, filters: vec!["contained::"], running, kills: BTreeMap::new() };
    storm.kill_those(|part| part == Part::Watcher)?;
    storm.kill_those(|_| true)?;
    let missed = |part: &Part| !storm.kills.contains_key(part);
    let missed: Vec<_> =
        [Part::Runner, Part::Test, Part::Keeper, Part::Watcher].into_iter().filter(missed).collect();
    demand(missed.is_empty(), format_args!("there was no {missed:?} to kill"))?;
    let (passed, said) = Invocation::start("cargo", &storm.files.name, MOST, &["contained::a"])?.end()?;
    demand(passed, said)?;
    storm.ends(WITHIN)?;
    Ok(fs::remove_dir_all(&storm.files.folder)?)
}

fn how_many() -> Result<usize, Failed> {
    Ok(variable("SCENARIO_STORM").map(|kills| kills.parse()).transpose()?.unwrap_or(FEW))
}

/// By how much a machine that is said to be slow stretches what is promised.
fn slowness() -> u32 {
    let is_slow =
        variable("SLOW_TEST_ENV").is_some_and(|value| logos_scenario::env::flag(&value) == Some(true));
    if is_slow { 2 } else { 1 }
}

fn variable(name: &str) -> Option<String> {
    std::env::vars().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// Lets time pass: there is nothing to wait for between two blows.
fn pass(time: Duration) {
    let (_kept, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

fn kill(pid: u32) -> Result<(), Failed> {
    let pid = Pid::from_raw(pid.cast_signed()).ok_or("a pid is not 0")?;
    // It may have ended by itself.
    let _ = kill_process(pid, Signal::KILL);
    Ok(())
}

impl Storm {
    /// Starts an invocation for each that has ended.
    fn replenish(&mut self) -> Result<(), Failed> {
        self.reap()?;
        for (runs, name) in self.running.iter_mut().zip(INVOCATIONS) {
            if runs.is_none() {
                let each = if name == "cargo-nextest" { &[EACH][..] } else { &[] };
                let args = [each, &self.filters].concat();
                *runs = Some(Invocation::start_quiet(name, &self.files.name, self.most, &args)?);
            }
        }
        Ok(())
    }

    /// Forgets invocations that have ended.
    fn reap(&mut self) -> Result<(), Failed> {
        for runs in &mut self.running {
            if let Some(invocation) = runs
                && invocation.child.try_wait()?.is_some()
            {
                *runs = None;
            }
        }
        Ok(())
    }

    /// Kills one of a random part.
    fn kill_one(&mut self) -> Result<(), Failed> {
        const PARTS: [Part; 5] = [Part::Runner, Part::Test, Part::Test, Part::Keeper, Part::Keeper];
        let part = PARTS[rand::random_range(0..PARTS.len())];
        let candidates: Vec<_> =
            self.processes()?.into_iter().filter(|(_, other)| *other == part).map(|(pid, _)| pid).collect();
        if !candidates.is_empty() {
            kill(candidates[rand::random_range(0..candidates.len())])?;
            *self.kills.entry(part).or_default() += 1;
        }
        Ok(())
    }

    fn kill_those(&mut self, which: impl Fn(Part) -> bool) -> Result<(), Failed> {
        for (pid, part) in self.processes()?.into_iter().filter(|(_, part)| which(*part)) {
            kill(pid)?;
            *self.kills.entry(part).or_default() += 1;
        }
        Ok(())
    }

    /// Waits until nothing is left; how long that took.
    fn ends(&mut self, within: Duration) -> Result<Duration, Failed> {
        let began = Instant::now();
        loop {
            let left = self.left()?;
            if left.is_empty() {
                return Ok(began.elapsed());
            }
            let late = began.elapsed() >= within;
            demand(!late, format_args!("after {:?} there are left {left:#?}", self.kills))?;
            pass(Duration::from_millis(100));
        }
    }

    /// The processes that know the invocation's name, as every one does but a node.
    fn processes(&self) -> Result<Vec<(u32, Part)>, Failed> {
        let mut found = Vec::new();
        let name = format!("NEXTEST_RUN_ID={}", self.files.name);
        for process in fs::read_dir("/proc")?.flatten() {
            let Ok(pid) = process.file_name().to_string_lossy().parse() else { continue };
            let (environment, command) = (list(&process.path(), "environ"), list(&process.path(), "cmdline"));
            if !environment.contains(&name) {
                continue;
            }
            let first = command.get(1).map(String::as_str);
            found.push(match first {
                _ if environment.iter().any(|it| it.starts_with("LOGOS_SCENARIO_WATCHER=")) => {
                    (pid, Part::Watcher)
                }
                Some("--scenario-keeper") => (pid, Part::Keeper),
                Some(INNER) => (pid, Part::Test),
                _ => (pid, Part::Runner),
            });
        }
        Ok(found)
    }

    /// Everything that there still is: processes, nodes, and what the container engine has.
    fn left(&mut self) -> Result<Vec<String>, Failed> {
        self.reap()?;
        let mut left: Vec<_> =
            self.processes()?.into_iter().map(|(pid, part)| format!("{part:?} {pid}")).collect();
        let here = self.files.folder.display().to_string();
        for process in fs::read_dir("/proc")?.flatten() {
            if list(&process.path(), "cmdline").iter().any(|argument| argument.contains(&here)) {
                left.push(format!("node {}", process.file_name().display()));
            }
        }
        if self.filters == ["contained::"] {
            left.extend(labelled(&format!("label=logos-scenario.invocation={}", self.files.name))?);
        }
        Ok(left)
    }
}

/// The texts in a file of a process; none if it ended.
fn list(process: &Path, file: &str) -> Vec<String> {
    let bytes = fs::read(process.join(file)).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

/// What the engine has with a label.
fn labelled(label: &str) -> Result<Vec<String>, Failed> {
    let mut found = Vec::new();
    for (kind, format) in [
        (["ps", "-a"].as_slice(), "{{.Names}}"),
        (&["network", "ls"], "{{.Name}}"),
        (&["volume", "ls"], "{{.Name}}"),
    ] {
        #[expect(clippy::disallowed_methods, reason = "the engine is asked by its own command")]
        let mut command = Command::new("docker");
        let listed = command.args(kind).args(["--filter", label, "--format", format]).output()?;
        demand(listed.status.success(), String::from_utf8_lossy(&listed.stderr))?;
        found.extend(String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned));
    }
    Ok(found)
}
