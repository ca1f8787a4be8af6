//! The files of a cluster: in the run's directory for people and for Compose's tools, in an archive for the
//! engine, and the logs that are read back.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt;
use logos_scenario_runtime::deployer::{ClusterError, DeployError};
use logos_scenario_runtime::plan::PlannedNode;
use tokio::sync::Mutex;

use super::engine::{is_missing, said};
use super::render;
use crate::planned;

/// Everything written into the run's directory before the start. Unless it is kept, dropping it removes all.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    kept: bool,
}

/// The name of the rendered Compose file.
const COMPOSE: &str = "docker-compose.yml";

impl Files {
    /// Writes the Compose file and the nodes' files beside it.
    pub(super) fn write(
        directory: &Path,
        compose: &str,
        rendered: &[PlannedNode],
    ) -> Result<Self, DeployError> {
        let files = Self { directory: directory.to_owned(), kept: false };
        write(directory, compose, rendered)?;
        Ok(files)
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
            let _ = fs::remove_file(self.directory.join(COMPOSE));
            let _ = fs::remove_dir_all(self.directory.join("nodes"));
        }
    }
}

/// Writes the Compose file and nodes' files in place of those that are there.
pub(super) fn write(directory: &Path, compose: &str, rendered: &[PlannedNode]) -> Result<(), DeployError> {
    planned::write(&directory.join(COMPOSE), compose)?;
    for node in rendered {
        for file in &node.files {
            planned::write_for_containers(&directory.join(render::host_path(node, file)), &file.text)?;
        }
    }
    Ok(())
}

/// A node's files as the archive that is put into its volume.
pub(super) fn archive(node: &PlannedNode) -> Vec<u8> {
    write_archive(node).expect("an archive in memory can be written")
}

fn write_archive(node: &PlannedNode) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    // Whichever user the image runs as may write there.
    let mut root = tar::Header::new_gnu();
    root.set_entry_type(tar::EntryType::Directory);
    root.set_mode(0o777);
    root.set_size(0);
    archive.append_data(&mut root, "./", io::empty())?;
    for file in render::found(node) {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(file.text.len() as u64);
        archive.append_data(&mut header, &file.path, file.text.as_bytes())?;
    }
    archive.into_inner()
}

/// A node's log: the engine's, copied into a file of the run's directory whenever it is asked for.
#[derive(Debug)]
pub(super) struct NodeLog {
    path: PathBuf,
    /// Bytes copied so far. The engine keeps one log over all starts of a container, and only adds to it.
    copied: Mutex<u64>,
}

impl NodeLog {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, copied: Mutex::default() }
    }

    /// Copies what the engine has and the file has not; the file.
    pub(super) async fn copy(
        &self,
        docker: &Docker,
        node: &str,
        container: &str,
    ) -> Result<&Path, ClusterError> {
        let failed = |what: String| ClusterError { subject: node.to_owned(), what };
        let mut copied = self.copied.lock().await;
        let file = fs::File::options().create(true).append(true).open(&self.path);
        let mut file =
            file.map_err(|error| failed(format!("{} cannot be written: {error}", self.path.display())))?;
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let mut parts = docker.logs(container, Some(options));
        let mut seen = 0;
        while let Some(part) = parts.next().await {
            let part = match part {
                Ok(part) => part.into_bytes(),
                // The container is gone; the file has its last words.
                Err(error) if is_missing(&error) => break,
                Err(error) => return Err(failed(format!("its log cannot be read: {}", said(&error)))),
            };
            let begin = usize::try_from(copied.saturating_sub(seen)).unwrap_or(usize::MAX).min(part.len());
            seen += part.len() as u64;
            let written = file.write_all(&part[begin..]);
            written.map_err(|error| failed(format!("{} cannot be written: {error}", self.path.display())))?;
            *copied = (*copied).max(seen);
        }
        Ok(&self.path)
    }

    /// What is copied from now on is of another container, whose log begins anew.
    pub(super) async fn of_another(&self) {
        *self.copied.lock().await = 0;
    }
}
