//! A run as its files tell it, whoever wrote them and however the run ended.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::log::{self, MergedLog};
use super::{Phase, Record};
use crate::deployer::{NodeAction, NodeState};
use crate::faults::NetworkFault;
use crate::workload::chaos::PlannedFault;

/// Everything that the files in a run's directory say.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// `report.json`.
    pub(crate) record: Record,
    /// `events.jsonl`.
    pub(crate) events: Vec<SavedEvent>,
    /// `transactions.jsonl`, of runs that submitted some and were judged.
    pub(crate) transactions: Vec<Submission>,
    /// `blobs.jsonl`, likewise.
    pub(crate) blobs: Vec<Submission>,
    /// The logs of all nodes.
    pub(crate) log: MergedLog,
    /// What could not be read, a line each.
    pub(crate) missing: Vec<String>,
}

/// A line of `events.jsonl`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct SavedEvent {
    /// Since the run began.
    pub(crate) second: f64,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum What {
    Phase {
        phase: Phase,
    },
    /// A block that the chains had when the run got its cluster.
    Ancestor(SavedBlock),
    Block(SavedBlock),
    Tip {
        node: String,
        height: u64,
        id: String,
        #[serde(default)]
        slot: u64,
        /// Nothing in runs of a framework that did not write it.
        lib: Option<String>,
    },
    /// A node that answered does so no more.
    Silent {
        node: String,
        error: String,
    },
    Reorg {
        depth: u64,
    },
    Finalized {
        id: String,
    },
    Node(NodeState),
    /// The cluster lost more than nodes.
    Broken {
        how: String,
    },
    Fault {
        node: String,
        action: NodeAction,
    },
    /// Network faults that were applied, or healed.
    #[serde(rename = "network fault")]
    Network {
        applied: Option<NetworkFault>,
        #[serde(default)]
        healed: Vec<NetworkFault>,
    },
    /// What the workload [`Chaos`](crate::Chaos) did to a node.
    Disturbance {
        planned: PlannedFault,
        node: String,
    },
    /// A workload ended that began at this second.
    Workload {
        name: String,
        began: f64,
    },
    /// One of these, by its number from 0, is over for its node.
    Back {
        place: usize,
    },
    #[serde(other)]
    Other,
}

/// A block as it was first seen.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct SavedBlock {
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) slot: u64,
    pub(crate) height: u64,
    #[serde(default)]
    pub(crate) proposer: String,
    pub(crate) transactions: u64,
    pub(crate) node: String,
}

/// A line of `transactions.jsonl` or `blobs.jsonl`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Submission {
    pub(crate) id: Option<String>,
    /// Since the run began.
    pub(crate) second: Option<f64>,
    #[serde(alias = "stage")]
    pub(crate) state: String,
    #[serde(alias = "executor")]
    pub(crate) node: Option<String>,
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) blocks: Vec<InBlock>,
}

/// A block with what was submitted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct InBlock {
    pub(crate) id: String,
}

/// Why a directory holds no run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedError {
    #[error("{} cannot be read: {cause}; a run's directory has it, see the line `files:` of a failure", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{} is no report of this version of the framework: {cause}", path.display())]
    Foreign { path: PathBuf, cause: serde_json::Error },
}

impl Saved {
    /// Reads a run's directory.
    pub(crate) fn read(directory: &Path) -> Result<Self, SavedError> {
        let record = read_record(directory)?;
        let mut missing = Vec::new();
        let log = log::merge(&record, &mut missing);
        Ok(Self {
            events: lines(directory, "events.jsonl", &mut missing),
            transactions: lines(directory, "transactions.jsonl", &mut missing),
            blobs: lines(directory, "blobs.jsonl", &mut missing),
            record,
            log,
            missing,
        })
    }

    /// When each block was first seen, by id.
    pub(crate) fn blocks(&self) -> HashMap<&str, f64> {
        let blocks = self.events.iter().filter_map(|event| match &event.what {
            What::Block(block) => Some((block.id.as_str(), event.second)),
            _ => None,
        });
        blocks.collect()
    }
}

/// Reads a run's `report.json`.
pub(crate) fn read_record(directory: &Path) -> Result<Record, SavedError> {
    let path = directory.join("report.json");
    match fs::read(&path) {
        Err(cause) => Err(SavedError::Unreadable { path, cause }),
        Ok(text) => serde_json::from_slice(&text).map_err(|cause| SavedError::Foreign { path, cause }),
    }
}

/// Reads a run's `events.jsonl`.
pub(crate) fn read_events(directory: &Path) -> Vec<SavedEvent> {
    lines(directory, "events.jsonl", &mut Vec::new())
}

/// Reads a file of lines, each of them JSON. The last line of a run that was killed may be half a line.
fn lines<T: DeserializeOwned>(directory: &Path, name: &str, missing: &mut Vec<String>) -> Vec<T> {
    let text = match fs::read_to_string(directory.join(name)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            missing.push(format!("{name} cannot be read: {error}"));
            return Vec::new();
        }
    };
    let mut parsed = Vec::new();
    let mut unread = 0_usize;
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(line) => parsed.push(line),
            Err(_) => unread += 1,
        }
    }
    if unread > 0 {
        missing.push(format!("{name} has lines that cannot be read: {unread}"));
    }
    parsed
}
