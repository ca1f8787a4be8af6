//! `SCENARIO_MAX_NODES` over all clusters of all processes of one build.
//!
//! A node alive is a lock held on one of so many files: the kernel releases it with its holder, however
//! that ends. Whoever wants nodes has a place in a queue, which is a locked file as well; the first one takes all it
//! wants at once or nothing, so that two cannot wait for what the other has. What all of them need is locked for a
//! moment only, and a file says whose it is to those who wait.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, FailureClass};
use crate::process::Process;
use crate::run::scenario_directory;
use crate::wait::{self, POLL};

/// Who has not got room by then has to wait for it.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The right to run so many nodes, until dropped.
#[derive(Debug)]
pub(crate) struct Budget {
    slots: Vec<File>,
}

/// What the file of a node says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    process: Process,
    /// Until when the node is kept to be looked at.
    kept_until: Option<SystemTime>,
}

impl Budget {
    /// Waits until so many more nodes may run; `lacks` hears who has them if that takes a while, and that it is over.
    ///
    /// # Errors
    ///
    /// There can never be so many, or not for as long as others are kept; or there are no lock files.
    pub(crate) async fn take(
        nodes: usize,
        most: usize,
        lacks: impl Fn(Option<String>),
    ) -> Result<Self, Failure> {
        Self::take_in(&scenario_directory().join("budget"), nodes, most, lacks).await
    }

    async fn take_in(
        directory: &Path,
        nodes: usize,
        most: usize,
        lacks: impl Fn(Option<String>),
    ) -> Result<Self, Failure> {
        if nodes > most {
            return Err(too_large(nodes, most));
        }
        let failed = |error: io::Error| {
            Failure::new(FailureClass::Infrastructure, "queue")
                .expected("lock files that can be made and locked")
                .seen(error.to_string())
                .look(directory.display().to_string())
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let turn = Turn::last(directory).await.map_err(failed)?;
        let (began, mut told) = (tokio::time::Instant::now(), None);
        loop {
            if let Some(slots) = turn.take(nodes, most).await.map_err(failed)? {
                told.iter().for_each(|_: &String| lacks(None));
                return Ok(Self::of(slots, None));
            }
            let holders = holders(directory, most);
            let kept: Vec<_> = holders.iter().filter(|holder| holder.is_kept()).collect();
            if nodes + kept.len() > most {
                return Err(kept_by(nodes, most, kept.len(), kept.iter().map(|holder| holder.process.pid)));
            }
            let used = Some(used(&holders, most));
            if began.elapsed() >= AT_ONCE && told != used {
                lacks(used.clone());
                told = used;
            }
            wait::pause(POLL).await;
        }
    }

    fn of(slots: Vec<File>, kept_until: Option<SystemTime>) -> Self {
        let budget = Self { slots };
        budget.says(Some(Holder { process: Process::this(), kept_until }));
        budget
    }

    /// Says that the nodes are kept for so long, whoever needs their room.
    pub(crate) fn keep(&self, time: Duration) {
        let kept_until = SystemTime::now().checked_add(time);
        self.says(Some(Holder { process: Process::this(), kept_until }));
    }

    /// Writes into the files who has them. Where that cannot be, those who wait are told less.
    fn says(&self, holder: Option<Holder>) {
        let text = holder.map(|holder| serde_json::to_vec(&holder).expect("a holder is plain data"));
        for slot in &self.slots {
            let _ = slot.set_len(0);
            let _ = slot.write_all_at(text.as_deref().unwrap_or_default(), 0);
        }
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.says(None);
    }
}

impl Holder {
    fn is_kept(&self) -> bool {
        self.kept_until.is_some_and(|until| until > SystemTime::now())
    }
}

/// A place in the queue of those who want nodes.
struct Turn {
    directory: PathBuf,
    number: u64,
    _lock: File,
}

impl Turn {
    /// The place behind all others.
    async fn last(directory: &Path) -> io::Result<Self> {
        let _queue = lock(&directory.join(QUEUE)).await?;
        let number = turns(directory)?.last().map_or(0, |last| last + 1);
        // Whoever only looks may have it for an instant.
        let _lock = lock(&turn(directory, number)).await?;
        Ok(Self { directory: directory.to_owned(), number, _lock })
    }

    /// So many nodes, if it is the first and there are that many.
    async fn take(&self, nodes: usize, most: usize) -> io::Result<Option<Vec<File>>> {
        let _queue = lock(&self.directory.join(QUEUE)).await?;
        for number in turns(&self.directory)?.into_iter().take_while(|number| *number < self.number) {
            let path = turn(&self.directory, number);
            if try_lock(&path)?.is_none() {
                return Ok(None);
            }
            // Its process ended before it had what it wanted.
            std::fs::remove_file(path)?;
        }
        let mut slots = Vec::new();
        for number in 0..most {
            if slots.len() < nodes {
                slots.extend(try_lock(&slot(&self.directory, number))?);
            }
        }
        Ok(Some(slots).filter(|slots| slots.len() == nodes))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(turn(&self.directory, self.number));
    }
}

/// Locked by whoever changes the queue or takes nodes, for as long as that takes.
const QUEUE: &str = "queue.lock";
/// What the names of places in the queue begin with.
const TURN: &str = "turn-";

fn turn(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{TURN}{number}"))
}

/// The places in the queue, the first one first.
fn turns(directory: &Path) -> io::Result<Vec<u64>> {
    let mut turns = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        turns.extend(name.to_string_lossy().strip_prefix(TURN).and_then(|number| number.parse::<u64>().ok()));
    }
    turns.sort_unstable();
    Ok(turns)
}

/// Who has nodes, one for each of which that is known.
fn holders(directory: &Path, most: usize) -> Vec<Holder> {
    let holder = |number: usize| {
        let holder = std::fs::read(slot(directory, number)).ok()?;
        serde_json::from_slice(&holder).ok().filter(|holder: &Holder| !holder.process.is_gone())
    };
    (0..most).filter_map(holder).collect()
}

/// Says of nodes by whom they are used.
fn used(holders: &[Holder], most: usize) -> String {
    let mut by = BTreeMap::<_, usize>::new();
    holders.iter().for_each(|holder| *by.entry((holder.process.pid, holder.is_kept())).or_default() += 1);
    let by = by.into_iter().map(|((pid, kept), nodes)| match kept {
        true => format!("{nodes} kept by process {pid} (`kill {pid}` removes them)"),
        false => format!("{nodes} by process {pid}"),
    });
    format!("{} of {most} are used: {}", holders.len(), by.collect::<Vec<_>>().join(", "))
}

/// Whether anybody waits for nodes: whoever has a cluster that nobody uses should end it.
pub(crate) fn is_wanted() -> bool {
    is_wanted_in(&scenario_directory().join("budget"), SystemTime::now())
}

fn is_wanted_in(directory: &Path, now: SystemTime) -> bool {
    let is_waiting = |number| {
        let turn = turn(directory, number);
        // Most have what they want at once, and nobody has to end anything for them.
        let since = turn.metadata().and_then(|turn| turn.modified());
        let waits = since.is_ok_and(|since| !now.duration_since(since).is_ok_and(|age| age < AT_ONCE));
        waits && matches!(try_lock(&turn), Ok(None))
    };
    turns(directory).is_ok_and(|turns| turns.into_iter().any(is_waiting))
}

/// Says that there is no room, since clusters are kept to be looked at.
pub(crate) fn kept_by(nodes: usize, most: usize, kept: usize, keepers: impl Iterator<Item = u32>) -> Failure {
    let keepers: BTreeSet<_> = keepers.map(|keeper| keeper.to_string()).collect();
    let keepers = Vec::from_iter(keepers).join(" ");
    Failure::new(FailureClass::Infrastructure, "queue")
        .expected(format!("room for {nodes} of the {most} nodes that there may be at once"))
        .seen(format!("{kept} are kept to be looked at, by keepers with the pids {keepers}"))
        .because("SCENARIO_KEEP lets clusters stay for an hour, and nobody waits for so long")
        .try_next(format!("`kill {keepers}` to remove them; or a larger SCENARIO_MAX_NODES"))
}

/// Says that a cluster could never have room.
pub(crate) fn too_large(nodes: usize, most: usize) -> Failure {
    Failure::new(FailureClass::Infrastructure, "queue")
        .expected(format!("a cluster of at most {most} nodes"))
        .seen(format!("one of {nodes} nodes"))
        .because("SCENARIO_MAX_NODES bounds the nodes of all clusters together")
        .try_next(format!("SCENARIO_MAX_NODES={nodes}, if the machine can carry them"))
}

fn slot(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("{number}.lock"))
}

/// Waits for a lock that nobody has for long.
async fn lock(path: &Path) -> io::Result<File> {
    loop {
        if let Some(file) = try_lock(path)? {
            return Ok(file);
        }
        wait::pause(POLL / 10).await;
    }
}

fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(directory: &Path, nodes: usize) -> Result<Budget, Failure> {
        Budget::take_in(directory, nodes, 5, |_| {}).await
    }

    #[tokio::test]
    async fn nodes_beyond_the_budget_wait_until_some_are_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let first = take(directory.path(), 3).await.unwrap();
        let second = take(directory.path(), 2).await.unwrap();
        let told = std::cell::RefCell::new(Vec::new());
        let third = Budget::take_in(directory.path(), 3, 5, |who| told.borrow_mut().push(who));
        tokio::pin!(third);
        assert!(tokio::time::timeout(AT_ONCE * 2, &mut third).await.is_err(), "the budget is used up");
        let this = std::process::id();
        let all = format!("5 of 5 are used: 5 by process {this}");
        assert_eq!(*told.borrow(), [Some(all.clone())]);
        // Who comes later does not overtake, though there would be room.
        let last = take(directory.path(), 2);
        tokio::pin!(last);
        assert!(tokio::time::timeout(POLL * 2, &mut last).await.is_err(), "others were here before");
        drop(second);
        assert!(tokio::time::timeout(POLL * 4, &mut third).await.is_err(), "two are not enough");
        assert!(tokio::time::timeout(POLL * 2, &mut last).await.is_err(), "others were here before");
        drop(first);
        let _third = third.await.unwrap();
        let two = format!("3 of 5 are used: 3 by process {this}");
        assert_eq!(*told.borrow(), [Some(all), Some(two), None]);
        last.await.unwrap();
    }

    #[tokio::test]
    async fn whose_process_ended_in_the_queue_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(turn(directory.path(), 7), "").unwrap();
        take(directory.path(), 5).await.unwrap();
        assert!(turns(directory.path()).unwrap().is_empty());
    }

    #[tokio::test]
    async fn nodes_are_wanted_when_somebody_did_not_get_them_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let place = Turn::last(directory.path()).await.unwrap();
        let since = turn(directory.path(), place.number).metadata().unwrap().modified().unwrap();
        assert!(!is_wanted_in(directory.path(), since));
        assert!(is_wanted_in(directory.path(), since + AT_ONCE));
        drop(place);
        assert!(!is_wanted_in(directory.path(), since + AT_ONCE));
    }

    #[tokio::test]
    async fn who_would_have_to_wait_for_what_is_kept_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let kept = take(directory.path(), 2).await.unwrap();
        kept.keep(Duration::from_secs(3_600));
        drop(take(directory.path(), 3).await.unwrap());
        let failure = take(directory.path(), 4).await.unwrap_err().to_string();
        let kill = format!("`kill {}`", std::process::id());
        assert!(failure.contains("2 are kept") && failure.contains(&kill), "{failure}");
        drop(kept);
        take(directory.path(), 4).await.unwrap();
    }

    #[tokio::test]
    async fn more_than_there_can_be_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let failure = take(directory.path(), 6).await.unwrap_err();
        assert!(failure.to_string().contains("SCENARIO_MAX_NODES=6"), "{failure}");
    }
}
