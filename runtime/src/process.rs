//! Processes by pid and start time, which together name one for as long as the machine runs.

use std::fs;
use std::io;
use std::os::unix::process::parent_id;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wait;

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Process {
    /// Its number in its pid namespace.
    pub pid: u32,
    /// When it started, in clock ticks since boot; 0 where that is not known.
    pub start: u64,
}

/// What a process is, to those it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// It runs one test program after the other, each of which knows what it will run.
    Cargo,
    /// It runs each case in a process of its own, and tells none what the others are.
    Nextest,
    /// Nobody: the test program runs by itself.
    Itself,
}

/// What the kernel says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    /// A letter; `T` is stopped.
    state: String,
    parent: u32,
    process: Process,
}

impl Process {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        let pid = std::process::id();
        stat(pid).ok().flatten().map_or(Self { pid, start: 0 }, |stat| stat.process)
    }

    /// Whether it has ended, for certain: where that cannot be told, it has not.
    #[must_use]
    pub fn is_gone(self) -> bool {
        self.start != 0 && self.is_gone_by(stat(self.pid))
    }

    fn is_gone_by(self, stat: io::Result<Option<Stat>>) -> bool {
        stat.is_ok_and(|stat| stat.is_none_or(|stat| stat.process != self))
    }

    /// The process that this one's invocation is: the nearest `cargo` or `cargo-nextest` above it, else itself.
    pub(crate) fn invocation() -> (Self, Invocation) {
        let known = |pid| stat(pid).ok().flatten();
        let above = std::iter::successors(known(parent_id()), |child| known(child.parent));
        let runner = |stat: Stat| match stat.name.as_str() {
            "cargo" => Some((stat.process, Invocation::Cargo)),
            "cargo-nextest" => Some((stat.process, Invocation::Nextest)),
            _ => None,
        };
        above.filter_map(runner).next().unwrap_or_else(|| (Self::this(), Invocation::Itself))
    }

    /// Completes soon after the process has ended: the kernel tells nobody but a parent.
    pub(crate) async fn ended(self) {
        const LOOK: Duration = Duration::from_millis(200);
        while !self.is_gone() {
            wait::pause(LOOK).await;
        }
    }
}

/// Whether the process of a pid is stopped, as by Ctrl-Z or a debugger.
pub(crate) fn is_stopped(pid: u32) -> bool {
    stat(pid).ok().flatten().is_some_and(|stat| matches!(stat.state.as_str(), "T" | "t"))
}

/// What the kernel says of the process of a pid; nothing if it has ended.
///
/// # Errors
///
/// It cannot be told.
fn stat(pid: u32) -> io::Result<Option<Stat>> {
    read(pid, fs::read_to_string(format!("/proc/{pid}/stat")))
}

fn read(pid: u32, stat: io::Result<String>) -> io::Result<Option<Stat>> {
    let stat = match stat {
        // Who ends while its file is read is said not to be there.
        Err(error) if is_absence(&error) => return Ok(None),
        stat => stat?,
    };
    let parsed =
        parse(pid, &stat).ok_or_else(|| io::Error::other(format!("unlike any /proc/<pid>/stat: {stat}")))?;
    // A zombie has ended.
    Ok(Some(parsed).filter(|stat| !matches!(stat.state.as_str(), "Z" | "X")))
}

fn is_absence(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::SRCH)
}

fn parse(pid: u32, stat: &str) -> Option<Stat> {
    // The name may have any character.
    let (before, after) = stat.rsplit_once(") ")?;
    let name = before.split_once('(')?.1.to_owned();
    let mut fields = after.split(' ');
    let state = fields.next()?.to_owned();
    let parent = fields.next()?.parse().ok()?;
    Some(Stat { name, state, parent, process: Process { pid, start: fields.nth(17)?.parse().ok()? } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_gone_when_its_pid_is_anothers() {
        let this = Process::this();
        assert!(!this.is_gone());
        let other = Process { start: this.start + 1, ..this };
        assert!(other.is_gone());
        other.ended().await;
    }

    #[test]
    fn only_what_the_kernel_does_not_know_is_gone() {
        let process = Process { pid: 7, start: 99 };
        let line = |state: &str| {
            Ok(format!("7 (a (b) c) {state} 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 99 0 0"))
        };
        let refused = |errno: rustix::io::Errno| Err(io::Error::from(errno));
        let check = |stat: io::Result<String>, gone: bool| {
            let what = format!("{stat:?}");
            assert_eq!(process.is_gone_by(read(7, stat)), gone, "{what}");
        };
        check(line("S"), false);
        check(line("Z"), true);
        check(refused(rustix::io::Errno::NOENT), true);
        check(refused(rustix::io::Errno::SRCH), true);
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::ACCESS, rustix::io::Errno::NOMEM] {
            check(refused(errno), false);
        }
        check(Ok(String::new()), false);
    }
}
