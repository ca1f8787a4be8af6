//! The files of a cluster in its run's directory: its objects, for people, and the logs that are written while nodes
//! run.

use std::fs;
use std::path::{Path, PathBuf};

use logos_scenario_runtime::deployer::DeployError;
use logos_scenario_runtime::plan::Plan;

use crate::planned;
use crate::relay::ways::RELAY;

/// The name of the file with all objects.
const OBJECTS: &str = "kubernetes.yaml";

/// Everything written before the start. Unless it is kept, dropping it removes all.
#[derive(Debug)]
pub(super) struct Files {
    written: Vec<PathBuf>,
    kept: bool,
}

impl Files {
    /// Writes the objects, and an empty log for each node, and for the relay.
    pub(super) fn write(
        directory: &Path,
        logs: &Path,
        objects: &str,
        plan: &Plan,
    ) -> Result<Self, DeployError> {
        let mut files = Self { written: Vec::new(), kept: false };
        let names = plan.nodes.iter().map(|node| node.name.as_str()).chain(plan.relayed.then_some(RELAY));
        let logs = names.map(|name| (logs.join(format!("{name}.log")), ""));
        for (path, text) in [(directory.join(OBJECTS), objects)].into_iter().chain(logs) {
            planned::write(&path, text)?;
            files.written.push(path);
        }
        Ok(files)
    }

    /// Writes the objects in place of those that are there.
    pub(super) fn write_objects(directory: &Path, objects: &str) -> Result<(), DeployError> {
        planned::write(&directory.join(OBJECTS), objects)
    }

    /// From now on they stay.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }

    /// They go as soon as this is dropped.
    pub(super) fn discard(&mut self) {
        self.kept = false;
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody is left to be told what cannot be removed.
            self.written.iter().for_each(|path| drop(fs::remove_file(path)));
        }
    }
}
