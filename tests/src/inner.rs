//! A test program that runs itself as a test program of scenarios, up to a moment and to its failure.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use logos_scenario::wait;

/// The program while it runs; dropping it ends it.
#[derive(Debug)]
pub struct Inner {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Inner {
    /// Starts the program, and waits until it said something.
    ///
    /// # Errors
    ///
    /// It ended before; with all that it said.
    pub fn start(mut command: Command, until: &str) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = BufReader::new(child.stderr.take().context("it is piped")?);
        let mut inner = Self { child, stderr };
        let (mut said, mut line) = (String::new(), String::new());
        while !line.contains(until) {
            said += &line;
            line.clear();
            ensure!(inner.stderr.read_line(&mut line)? > 0, "it ended before it said `{until}`:\n{said}");
        }
        Ok(inner)
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program failed, and looks for texts in what it said from then on.
    ///
    /// # Errors
    ///
    /// It passed, or a text is missing.
    pub fn fails(mut self, texts: &[&str]) -> anyhow::Result<()> {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        let code = self.child.wait()?.code();
        ensure!(code == Some(101), "exit code {code:?}:\n{said}");
        for text in texts {
            ensure!(said.contains(text), "no `{text}` in:\n{said}");
        }
        Ok(())
    }
}

/// Waits until these are the files of the only cluster whose logs are in a directory, and something is in each.
///
/// # Errors
///
/// Which files there are, and how many bytes are in them.
pub async fn are_logs_of(directory: &Path, names: &[&str]) -> anyhow::Result<()> {
    // A keeper writes the last of them after its program ended.
    let there = async || are_logs_now(directory, names);
    wait::until("the logs", Duration::from_secs(60), there).await.map_err(|error| anyhow!("{error}"))
}

fn are_logs_now(directory: &Path, names: &[&str]) -> anyhow::Result<()> {
    let (mut folders, mut found) = (vec![directory.to_owned()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => _ = found.insert(entry.file_name().display().to_string(), entry.metadata()?.len()),
            }
        }
    }
    ensure!(found.keys().eq(names) && found.values().all(|bytes| *bytes > 0), "{found:?}");
    Ok(())
}

impl Drop for Inner {
    fn drop(&mut self) {
        // It may have ended.
        let _ = (self.child.kill(), self.child.wait());
    }
}
