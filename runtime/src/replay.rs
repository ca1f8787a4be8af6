//! A run that is over, played again from its files, so that other expectations can judge it.
//!
//! Nothing is judged in another way than in a run that lives: the scenario's own function declares what it expects,
//! the runner captures, settles and judges, and all that differs is where things come from. The feed is told the blocks
//! and tips of `events.jsonl`, the cluster is one of the past, workloads bring back what they did instead of acting,
//! and the clock is tokio's paused one, which goes from one event to the next as fast as they are judged.
//!
//! Whoever asks for what no file has, such as an answer of a node, is noted by its name: its verdict counts for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::deployer::States;
use crate::failure::Failure;
use crate::faults::Disturbing;
use crate::feed::BlockFeed;
use crate::report::{Drive, Phase, Record, Saved, SavedEvent};
use crate::runner::TASK;
use crate::workload::Counters;

mod cluster;
mod player;
pub(crate) use cluster::PastCluster;

/// The scenario's own function, where it is that which asks.
pub(crate) const BODY: &str = "body";

/// A run that is over, while it is played again.
pub struct Recording {
    directory: PathBuf,
    saved: Saved,
    /// The moment that stands for the beginning of the run.
    began: Instant,
    /// The phases that were begun by now.
    phases: watch::Sender<Vec<Phase>>,
    /// Whether all there is was played.
    ended: watch::Sender<bool>,
    states: watch::Sender<States>,
    /// What was asked for in vain, by who asked.
    lacked: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

debug_as!(Recording, |this| directory: this.directory);

impl Recording {
    /// Of the run in a directory, which begins now.
    pub(crate) fn new(directory: &Path, saved: Saved) -> Self {
        Self {
            directory: directory.to_owned(),
            saved,
            began: Instant::now(),
            phases: watch::Sender::default(),
            ended: watch::Sender::default(),
            states: watch::Sender::new(States { version: 1, ..States::default() }),
            lacked: Mutex::default(),
        }
    }

    /// Where the run's files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The moment that stands for a second of the run.
    #[must_use]
    pub fn at(&self, second: f64) -> Instant {
        let apart = Duration::from_secs_f64(second.abs());
        let before = || self.began.checked_sub(apart).unwrap_or(self.began);
        if second < 0.0 { before() } else { self.began + apart }
    }

    /// The lines of one of the run's files, each of them JSON.
    ///
    /// # Errors
    ///
    /// The file or one of its lines cannot be read.
    pub fn lines<T: DeserializeOwned>(&self, file: &str) -> Result<Vec<T>, String> {
        let text = fs::read_to_string(self.directory.join(file));
        let text = text.map_err(|error| format!("{file} cannot be read: {error}"))?;
        let line = |(number, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {} of {file}: {error}", number + 1))
        };
        text.lines().enumerate().map(line).collect()
    }

    pub(crate) fn events(&self) -> &[SavedEvent] {
        &self.saved.events
    }

    pub(crate) fn record(&self) -> &Record {
        &self.saved.record
    }

    /// What became of a drive, by its number from 0.
    pub(crate) fn drive(&self, number: u64) -> Option<&Drive> {
        self.record().drives.get(usize::try_from(number).ok()?)
    }

    /// Fails unless files that each drive writes anew tell of this one.
    pub(crate) fn demand_last(&self, number: u64, what: &str) -> Result<(), String> {
        let is_last = number + 1 == self.record().drives.len() as u64;
        is_last.then_some(()).ok_or_else(|| format!("the files tell of the last drive's {what} only"))
    }

    /// What a drive put into a section of the report.
    pub(crate) fn section<T: DeserializeOwned>(&self, number: u64, name: &str) -> Result<T, String> {
        let section = self.drive(number).and_then(|drive| drive.sections.get(name));
        let section = section.and_then(|section| T::deserialize(section).ok());
        section.ok_or_else(|| format!("the report has no section `{name}`"))
    }

    /// Completes when a drive came to one of its phases, or there is nothing more to come.
    pub(crate) async fn reached(&self, drive: u64, phase: Phase) {
        let mut phases = self.phases.subscribe();
        let begun = |all: &Vec<Phase>| all.iter().filter(|it| **it == phase).count() as u64 > drive;
        let mut ended = self.ended.subscribe();
        // The senders live as long as this.
        tokio::select! {
            _ = phases.wait_for(begun) => {}
            _ = ended.wait_for(|ended| *ended) => {}
        }
    }

    /// Somebody asks for what the files of a run do not have.
    pub(crate) fn lacks(&self, what: impl Into<String>) {
        let asks = TASK.try_with(Clone::clone).unwrap_or_else(|_| BODY.to_owned());
        self.lacks_for(asks.strip_prefix("capture of ").unwrap_or(&asks), what);
    }

    pub(crate) fn lacks_for(&self, name: &str, what: impl Into<String>) {
        self.lacked().entry(name.to_owned()).or_default().insert(what.into());
    }

    /// What each of those asked for who asked in vain.
    pub(crate) fn lacked(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        self.lacked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a workload did then, and what it came to.
    pub(crate) fn outcome(&self, drive: u64, workload: &str) -> Option<Result<Counters, Failure>> {
        let drive = self.drive(drive)?;
        let failure = drive.failures.iter().find(|failure| failure.subject == workload);
        let failed = failure.map(|failure| Err(failure.clone()));
        failed.or_else(|| Some(Ok(drive.workloads.get(workload)?.clone())))
    }

    /// Tells what happened, when its time comes.
    pub(crate) async fn play(&self, feed: &BlockFeed, disturbing: &Disturbing) {
        player::play(self, feed, disturbing).await;
        self.ended.send_replace(true);
    }

    /// The time of the clock on the wall then.
    fn wall_time(&self) -> SystemTime {
        self.record().began() + self.began.elapsed()
    }
}
