//! The files of a cluster: what is written before the start, read while it runs, and removed after it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use logos_scenario_runtime::deployer::{ClusterError, DeployError};
use logos_scenario_runtime::plan::{PlannedFile, PlannedNode};

use super::render::NodeCommand;
use crate::planned::{self, make_folder, write};

/// The directories of a cluster's nodes. Unless it is kept, dropping it removes them and the logs.
#[derive(Debug)]
pub(super) struct Files {
    nodes: PathBuf,
    /// What the plan names, or named, which stays for whoever reads the logs.
    planned: Mutex<Vec<PathBuf>>,
    logs: Vec<PathBuf>,
    kept: AtomicBool,
}

impl Files {
    /// Makes each node's directory below `nodes`, with its planned files, and a log below `logs`.
    pub(super) fn write(nodes: &Path, logs: &Path, rendered: &[PlannedNode]) -> Result<Self, DeployError> {
        let mut made = Self {
            nodes: nodes.to_owned(),
            planned: Mutex::default(),
            logs: Vec::new(),
            kept: AtomicBool::new(false),
        };
        for node in rendered {
            let directory = nodes.join(&node.name);
            make_folder(&directory)?;
            made.planned(&directory, &node.files);
            write_all(&directory, &node.files)?;
            let log = logs.join(format!("{}.log", node.name));
            write(&log, "")?;
            made.logs.push(log);
        }
        Ok(made)
    }

    /// Notes that these files of a node are planned.
    pub(super) fn planned(&self, directory: &Path, files: &[PlannedFile]) {
        let paths = files.iter().map(|file| directory.join(&file.path));
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).extend(paths);
    }

    /// From now on only [`remove_data`](Self::remove_data) removes anything.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Removes everything in the nodes' directories that the plan does not name.
    pub(super) fn remove_data(&self) -> Result<(), ClusterError> {
        let planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        remove_below(&self.nodes, &planned).map(drop).map_err(|error| ClusterError {
            subject: self.nodes.display().to_string(),
            what: format!("the nodes' data cannot be removed: {error}"),
        })
    }
}

/// Removes what is not planned; whether nothing is left in the folder.
fn remove_below(folder: &Path, planned: &[PathBuf]) -> io::Result<bool> {
    let mut empty = true;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            match remove_below(&path, planned)? {
                true => fs::remove_dir(&path)?,
                false => empty = false,
            }
        } else if planned.contains(&path) {
            empty = false;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(empty)
}

fn write_all(directory: &Path, files: &[PlannedFile]) -> Result<(), DeployError> {
    files.iter().try_for_each(|file| write(&directory.join(&file.path), &file.text))
}

impl NodeCommand {
    /// Lets the node's files be this command's, and none be left of the command before.
    pub(super) fn replace_files_of(&self, old: &Self) -> Result<(), DeployError> {
        let kept = |path: &Path| self.files.iter().any(|file| file.path == path);
        for file in old.files.iter().filter(|file| !kept(&file.path)) {
            let path = self.directory.join(&file.path);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(planned::unwritable(&path, &error));
                }
                _ => {}
            }
        }
        write_all(&self.directory, &self.files)
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
