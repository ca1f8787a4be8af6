//! The files of a cluster: what is written before the start, read while it runs, and removed after it.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use logos_scenario_runtime::deployer::{ClusterError, DeployError, Log, LogPart};
use logos_scenario_runtime::plan::PlannedNode;

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
        make(logs, |path| fs::create_dir_all(path))?;
        for node in rendered {
            make(&nodes.join(&node.name), |path| fs::create_dir_all(path))?;
            for file in &node.files {
                let path = nodes.join(&node.name).join(&file.path);
                make(&path, |path| {
                    path.parent().map_or(Ok(()), fs::create_dir_all)?;
                    fs::write(path, &file.text)
                })?;
                files.planned.push(path);
            }
            let log = logs.join(format!("{}.log", node.name));
            make(&log, |path| fs::write(path, ""))?;
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

fn make(path: &Path, how: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), DeployError> {
    how(path).map_err(|error| DeployError {
        subject: path.display().to_string(),
        what: format!("cannot be written: {error}"),
        try_next: "make room on the disk, or make the folder writable".to_owned(),
        log: None,
    })
}

/// Reads a part of a node's log.
pub(super) async fn read_log(node: &str, path: &Path, part: LogPart) -> Result<Log, ClusterError> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_part(&owned, part)).await;
    let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
    read.map_err(|error| ClusterError {
        subject: node.to_owned(),
        what: format!("its log {} cannot be read: {error}", path.display()),
    })
}

fn read_part(path: &Path, part: LogPart) -> io::Result<Log> {
    let mut file = fs::File::open(path)?;
    let begin = if let LogPart::From(begin) = part { begin } else { 0 };
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // A character that is not written whole yet is left for the next call.
    if let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
    let end = begin + bytes.len() as u64;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(match part {
        LogPart::From(_) => Log { text, end },
        LogPart::Last(count) => {
            let skipped = text.lines().count().saturating_sub(count);
            let lines: Vec<&str> = text.lines().skip(skipped).collect();
            Log { text: lines.join("\n"), end }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], part: LogPart) -> (String, u64) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let Log { text, end } = read_part(file.path(), part).unwrap();
        (text, end)
    }

    #[test]
    fn parts_of_a_log_go_on_where_the_last_ended() {
        assert_eq!(read(b"one\ntwo\n", LogPart::From(0)), ("one\ntwo\n".to_owned(), 8));
        assert_eq!(read(b"one\ntwo\n", LogPart::From(4)), ("two\n".to_owned(), 8));
        assert_eq!(read(b"one\ntwo\nthree", LogPart::Last(2)), ("two\nthree".to_owned(), 13));
        assert_eq!(read(b"one", LogPart::Last(5)), ("one".to_owned(), 3));
    }

    #[test]
    fn half_a_character_is_left_for_the_next_part() {
        let text = "blöck".as_bytes();
        assert_eq!(read(&text[..3], LogPart::From(0)), ("bl".to_owned(), 2));
        assert_eq!(read(text, LogPart::From(2)), ("öck".to_owned(), 6));
        assert_eq!(read(b"a\xffb", LogPart::From(0)).0, "a\u{fffd}b");
    }
}
