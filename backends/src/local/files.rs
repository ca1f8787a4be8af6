//! The files of a cluster: what is written before the start, read while it runs, and removed after it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use logos_scenario_runtime::deployer::{ClusterError, DeployError};
use logos_scenario_runtime::plan::PlannedNode;

use crate::planned::{make_folder, write};

/// The directories of a cluster's nodes. Unless it is kept, dropping it removes them and the logs.
#[derive(Debug)]
pub(super) struct Files {
    nodes: PathBuf,
    /// What the plan names, which stays for whoever reads the logs.
    planned: Vec<PathBuf>,
    logs: Vec<PathBuf>,
    kept: AtomicBool,
}

impl Files {
    /// Makes each node's directory below `nodes`, with its planned files, and a log below `logs`.
    pub(super) fn write(nodes: &Path, logs: &Path, rendered: &[PlannedNode]) -> Result<Self, DeployError> {
        let mut files = Self {
            nodes: nodes.to_owned(),
            planned: Vec::new(),
            logs: Vec::new(),
            kept: AtomicBool::new(false),
        };
        for node in rendered {
            let directory = nodes.join(&node.name);
            make_folder(&directory)?;
            for file in &node.files {
                let path = directory.join(&file.path);
                write(&path, &file.text)?;
                files.planned.push(path);
            }
            let log = logs.join(format!("{}.log", node.name));
            write(&log, "")?;
            files.logs.push(log);
        }
        Ok(files)
    }

    /// From now on only [`remove_data`](Self::remove_data) removes anything.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Removes everything in the nodes' directories that the plan does not name.
    pub(super) fn remove_data(&self) -> Result<(), ClusterError> {
        self.remove_below(&self.nodes).map(drop).map_err(|error| ClusterError {
            subject: self.nodes.display().to_string(),
            what: format!("the nodes' data cannot be removed: {error}"),
        })
    }

    /// Whether nothing is left in the folder.
    fn remove_below(&self, folder: &Path) -> io::Result<bool> {
        let mut empty = true;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                match self.remove_below(&path)? {
                    true => fs::remove_dir(&path)?,
                    false => empty = false,
                }
            } else if self.planned.contains(&path) {
                empty = false;
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(empty)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Relaxed) {
            return;
        }
        // Nobody is left to be told what cannot be removed.
        let _ = fs::remove_dir_all(&self.nodes);
        for log in &self.logs {
            let _ = fs::remove_file(log);
        }
    }
}
