//! The files of a run: `events.jsonl`, a line as things happen, and `report.json`, rewritten as they end.
//!
//! `report.json` is written to a file beside it and renamed, so that it is whole at every instant, also when
//! the process is killed; until the run ended its verdict is `running`. A line of `events.jsonl` is one
//! write. A report that cannot be written is a warning, and no failure of what it reports.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::html::{self, replace};
use super::{Neighbours, Phase, mask};
use crate::env;
use crate::failure::{Failure, FailureClass, RunFailed};
use crate::feed::FeedStats;
use crate::telemetry::export;
use crate::topology::Role;
use crate::workload::Counters;

/// Version of the schema of `report.json`: raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// What `report.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of the framework.
    pub framework: String,
    /// The `cargo test` or `cargo nextest run` it was part of.
    pub invocation: String,
    /// Name of the case, or `by-hand`.
    pub case: String,
    /// When it began, in RFC 3339.
    pub started: String,
    /// Name of the backend; empty before the deployment.
    pub backend: String,
    /// The [`ClusterKey`](crate::plan::ClusterKey); empty before the deployment.
    pub cluster: String,
    /// What nodes call the cluster in their metrics and spans; empty before the deployment.
    #[serde(default)]
    pub cluster_name: String,
    /// Where dashboards of the run are, where there is a Grafana.
    #[serde(default)]
    pub grafana: Option<String>,
    /// Repeats the plan.
    pub seed: u64,
    /// The nodes' names and roles.
    pub nodes: Vec<(String, Role)>,
    /// Seconds that a slot lasts.
    pub slot_seconds: f64,
    /// Seconds from the beginning of the run to that of slot 0, below zero on a cluster that was there before; nothing
    /// before the deployment.
    #[serde(default)]
    pub slot_zero: Option<f64>,
    /// For how long the chain is watched.
    pub window: String,
    /// Steps in the order in which they began.
    pub phases: Vec<PhaseTime>,
    /// One per drive, in the order in which they ended.
    pub drives: Vec<Drive>,
    /// What it came to.
    pub verdict: Verdict,
    /// Whose failure it is.
    pub class: Option<FailureClass>,
    /// Everything that failed, also where it should.
    pub failures: Vec<Failure>,
    /// With whom it shared its cluster; nobody shares one that was made by hand.
    #[serde(default)]
    pub neighbours: Option<Neighbours>,
    /// The command that repeats it.
    pub repeat: Option<String>,
    /// The topology, with all that nodes have of their own.
    #[serde(default)]
    pub topology: Value,
    /// Where each node's log is, in the order of the nodes.
    #[serde(default)]
    pub logs: Vec<String>,
    /// Machine, program and the settings that were given.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The directory of the run that was judged again, where this is no run of its own.
    #[serde(default)]
    pub judges: Option<PathBuf>,
}

impl Record {
    /// When the run began, on the clock on the wall.
    pub(crate) fn began(&self) -> SystemTime {
        humantime::parse_rfc3339_weak(&self.started).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// What failed, by name.
    pub(crate) fn subjects(&self) -> String {
        let subjects: Vec<_> = self.failures.iter().map(|failure| failure.subject.as_str()).collect();
        subjects.join(", ")
    }
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Which.
    pub phase: Phase,
    /// Seconds from the beginning of the run to that of the phase.
    pub at: f64,
    /// Seconds it took; `None` while it lasts.
    pub seconds: Option<f64>,
}

/// From the capture to the judgement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drive {
    /// The expectations that held.
    pub held: Vec<String>,
    /// Everything that failed.
    pub failures: Vec<Failure>,
    /// What each workload did.
    pub workloads: BTreeMap<String, Counters>,
    /// How the chain fared.
    pub chain: FeedStats,
    /// What workloads and expectations reported, by name.
    pub sections: BTreeMap<String, Value>,
    /// Whether it ended before its window, since something failed for certain.
    #[serde(default)]
    pub cut_short: bool,
    /// What was left of the window, such as `21s 300ms` or `12 blocks`, of one that ended since all that it awaited
    /// held: it says nothing of later.
    #[serde(default)]
    pub saved: Option<String>,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It has not ended, or was killed.
    Running,
    /// It did what it should.
    Passed,
    /// It did not.
    Failed,
}

/// Writes a run's files.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    record: Record,
    events: Option<File>,
}

impl Journal {
    /// Of a run that begins now; writes nothing before there is something to say.
    pub(crate) fn new(directory: &Path, invocation: &str, case: &str) -> Self {
        // At one moment: logs are merged with events by both.
        let (began, started) = (Instant::now(), SystemTime::now());
        let record = Record {
            schema: SCHEMA,
            framework: env!("CARGO_PKG_VERSION").to_owned(),
            invocation: invocation.to_owned(),
            case: case.to_owned(),
            started: humantime::format_rfc3339_millis(started).to_string(),
            backend: String::new(),
            cluster: String::new(),
            cluster_name: String::new(),
            grafana: None,
            seed: 0,
            nodes: Vec::new(),
            slot_seconds: 0.0,
            slot_zero: None,
            window: String::new(),
            phases: Vec::new(),
            drives: Vec::new(),
            verdict: Verdict::Running,
            class: None,
            failures: Vec::new(),
            neighbours: None,
            repeat: None,
            topology: Value::Null,
            logs: Vec::new(),
            environment: env::surroundings(),
            judges: None,
        };
        let state = Mutex::new(State { record, events: None });
        Self { directory: directory.to_owned(), began, state }
    }

    /// Invocation, case and attempt.
    pub(crate) fn id(&self) -> String {
        let attempt = self.directory.file_name().unwrap_or_default().to_string_lossy();
        let Record { invocation, case, .. } = &self.lock().record;
        format!("{invocation}/{case}/{attempt}")
    }

    /// Where it writes.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Fills in what the run is made of.
    pub(crate) fn describe(&self, fill_in: impl FnOnce(&mut Record)) {
        fill_in(&mut self.lock().record);
    }

    /// What is known of the run.
    pub(crate) fn record(&self) -> Record {
        self.lock().record.clone()
    }

    /// A phase begins, and the one before ends.
    pub(crate) fn enter(&self, phase: Phase) {
        self.event("phase", &json!({ "phase": phase }));
        let now = self.second();
        let mut state = self.lock();
        state.end_phase(now);
        state.record.phases.push(PhaseTime { phase, at: now, seconds: None });
        self.write(&state.record);
        drop(state);
        if phase == Phase::Drive {
            // A run that is killed later has a page, too.
            self.page();
            export::begun(&self.record());
        }
    }

    /// A phase begins, unless it is that which lasts.
    pub(crate) fn turn_to(&self, phase: Phase) {
        let lasts = self.lock().record.phases.last().is_some_and(|last| last.phase == phase);
        if !lasts {
            self.enter(phase);
        }
    }

    /// The phase that lasts ends, and nothing follows yet.
    pub(crate) fn leave(&self) {
        let now = self.second();
        let mut state = self.lock();
        state.end_phase(now);
        self.write(&state.record);
    }

    pub(crate) fn drive(&self, drive: Drive) {
        let mut state = self.lock();
        state.record.failures.extend(drive.failures.iter().cloned());
        state.record.drives.push(drive);
        self.write(&state.record);
    }

    /// The run ended with `failures`, as it should or not.
    pub(crate) fn conclude(&self, passed: bool, failures: &[Failure], repeat: Option<String>) {
        let verdict = if passed { Verdict::Passed } else { Verdict::Failed };
        self.event("verdict", &json!({ "verdict": verdict }));
        let now = self.second();
        let mut state = self.lock();
        state.end_phase(now);
        let failed = (!failures.is_empty()).then(|| RunFailed { failures: failures.to_vec() });
        state.record.verdict = verdict;
        state.record.class = failed.as_ref().map(RunFailed::class);
        state.record.failures = failures.to_vec();
        state.record.repeat = repeat;
        self.write(&state.record);
        let record = state.record.clone();
        drop(state);
        self.page();
        if record.judges.is_none() {
            export::over(&self.id(), &record, &self.directory);
        }
    }

    /// The run ended with what its drives came to.
    pub(crate) fn conclude_drives(&self) {
        let failures = self.lock().record.failures.clone();
        self.conclude(failures.is_empty(), &failures, None);
    }

    /// Adds a line to `events.jsonl`.
    pub(crate) fn event(&self, event: &str, details: &impl Serialize) {
        let second = self.second();
        let mut line = match serde_json::to_value(details) {
            Ok(Value::Object(fields)) => {
                let mut line = json!({ "second": second, "event": event });
                line.as_object_mut().expect("it is an object").extend(fields);
                line
            }
            Ok(details) => json!({ "second": second, "event": event, "details": details }),
            Err(error) => json!({ "second": second, "event": event, "error": error.to_string() }),
        };
        mask::value(&mut line);
        let mut state = self.lock();
        if let Err(error) = self.append(&mut state, &format!("{line}\n")) {
            self.warn("events.jsonl", &error);
        }
    }

    fn append(&self, state: &mut State, line: &str) -> io::Result<()> {
        let events = match &mut state.events {
            Some(events) => events,
            none => {
                let path = self.directory.join("events.jsonl");
                none.insert(OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        events.write_all(line.as_bytes())
    }

    fn write(&self, record: &Record) {
        let mut data = serde_json::to_value(record).expect("a record is plain data");
        mask::value(&mut data);
        let text = serde_json::to_string_pretty(&data).expect("it is plain data");
        if let Err(error) = replace(&self.directory.join("report.json"), &text) {
            self.warn("report.json", &error);
        }
    }

    /// Makes the page of what is written by now.
    fn page(&self) {
        if let Err(error) = html::write(&self.directory) {
            tracing::warn!("{} has no new page: {error}", self.directory.display());
        }
    }

    fn warn(&self, file: &str, error: &io::Error) {
        tracing::warn!("{file} cannot be written into {}: {error}", self.directory.display());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn second(&self) -> f64 {
        self.second_of(Instant::now())
    }

    /// Seconds from the beginning of the run to a moment, below zero for one before it.
    pub(crate) fn second_of(&self, moment: Instant) -> f64 {
        let after = moment.saturating_duration_since(self.began).as_secs_f64();
        milliseconds(after - self.began.saturating_duration_since(moment).as_secs_f64())
    }
}

/// Seconds to the millisecond.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}

impl State {
    fn end_phase(&mut self, now: f64) {
        if let Some(phase @ PhaseTime { seconds: None, .. }) = self.record.phases.last_mut() {
            phase.seconds = Some(milliseconds(now - phase.at));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_report_is_whole_at_every_instant() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::new(directory.path(), "invocation", "local::case");
        journal.enter(Phase::Deploy);
        let path = directory.path().join("report.json");
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut read = 0;
                loop {
                    let text = fs::read_to_string(&path).expect("a report is there from the first phase on");
                    let record: Record = serde_json::from_str(&text).expect("a report is whole");
                    read += 1;
                    if record.verdict != Verdict::Running {
                        return read;
                    }
                }
            });
            for _ in 0..50 {
                journal.drive(Drive { held: vec!["NoCrash".to_owned(); 20], ..Drive::default() });
            }
            journal.conclude(true, &[], None);
            assert!(reader.join().unwrap() > 1);
        });
    }

    #[test]
    fn a_report_tells_phases_failures_and_verdict() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::new(directory.path(), "invocation", "local::case");
        assert!(!directory.path().join("report.json").exists());
        journal.enter(Phase::Queue);
        journal.enter(Phase::Deploy);
        journal.enter(Phase::Ready);
        let failure = Failure::new(FailureClass::Infrastructure, "ready").seen("nothing");
        journal.conclude(false, std::slice::from_ref(&failure), Some("cargo test".to_owned()));
        let text = fs::read_to_string(directory.path().join("report.json")).unwrap();
        let record: Record = serde_json::from_str(&text).unwrap();
        let phases: Vec<_> = record.phases.iter().map(|it| (it.phase, it.seconds.is_some())).collect();
        assert_eq!(phases, [(Phase::Queue, true), (Phase::Deploy, true), (Phase::Ready, true)]);
        assert_eq!((record.verdict, record.class), (Verdict::Failed, Some(FailureClass::Infrastructure)));
        assert_eq!((record.schema, record.failures), (SCHEMA, vec![failure]));
        let events = fs::read_to_string(directory.path().join("events.jsonl")).unwrap();
        let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), 4);
        assert_eq!(events[2]["phase"], "ready");
    }
}
