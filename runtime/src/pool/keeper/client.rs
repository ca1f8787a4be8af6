//! A client's side of a keeper: finds it, starts it if there is none, and notices when it says nothing any more.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{ARGUMENT, Order, line};
use crate::env;
use crate::failure::{Failure, FailureClass};
use crate::pool::wire::{Link, Plans, Reply, Request};
use crate::process;
use crate::wait;

/// How long a keeper may take to answer, from its start on or at any time after.
const ANSWERING: Duration = Duration::from_secs(60);
/// A keeper that says nothing for so long, not even that it lives, is as good as gone. Giving up deployments may keep
/// it from that for a minute.
const SILENCE: Duration = Duration::from_secs(120);
/// So many keepers may end before they answer.
const TRIES: usize = 3;

/// The pid of the keeper that was reached last; 0 while there is none.
#[derive(Debug, Default)]
pub(crate) struct Reached(AtomicU32);

impl Reached {
    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }
}

/// Connects to the keeper; starts it if there is none.
pub(crate) async fn connect(order: &Order, plans: Plans) -> Result<Link, Failure> {
    connect_within(order, plans, env::settings().scaled(ANSWERING)).await
}

async fn connect_within(order: &Order, plans: Plans, within: Duration) -> Result<Link, Failure> {
    let (mut started, keeper) = (0, Reached::default());
    let connected = wait::until("a keeper that answers", within, || {
        let start = start_if_none(order, &mut started);
        let keeper = &keeper;
        async move {
            match start {
                Err(failure) => Ok(Err(failure)),
                Ok(()) => find(&order.ground.socket(), keeper).await.map(Ok),
            }
        }
    })
    .await;
    let link = connected.unwrap_or_else(|timed_out| match keeper.pid() {
        Some(pid) => Err(silent(pid, within)),
        None => Err(no_keeper(order, &timed_out.to_string())),
    })?;
    // If it is gone already, so is the link.
    let _ = link.requests.send(order.owning.said(plans));
    Ok(link)
}

/// The keeper at a socket, once it answers; `keeper` is its pid then, and before.
///
/// # Errors
///
/// Nobody listens there, as [`is_nobody`] tells, or nobody can be reached.
pub(crate) async fn find(socket: &Path, keeper: &Reached) -> io::Result<Link> {
    let stream = UnixStream::connect(socket).await?;
    // The kernel knows who listens, also where that one is stopped.
    let pid = stream.peer_cred().ok().and_then(|peer| u32::try_from(peer.pid()?).ok());
    keeper.0.store(pid.unwrap_or_default(), Ordering::Relaxed);
    let mut link = link(stream, pid);
    let answer = link.replies.recv().await;
    // Who was reached and closes ends, and the next one may not be there yet.
    keeper.0.store(0, Ordering::Relaxed);
    answer
        .map(|_| link)
        .ok_or_else(|| io::Error::new(io::ErrorKind::ConnectionReset, "it ended before it answered"))
}

/// Whether an error of [`find`] means that there is no keeper, or none any more.
pub(crate) fn is_nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset)
}

/// A keeper that is there and says nothing.
pub(crate) fn silent(pid: u32, within: Duration) -> Failure {
    let within = humantime::format_duration(within);
    let seen = match process::is_stopped(pid) {
        true => format!("process {pid} is stopped"),
        false => format!("process {pid} says nothing"),
    };
    Failure::new(FailureClass::Infrastructure, "keeper")
        .expected(format!("the process that owns clusters to answer within {within}"))
        .seen(seen)
        .try_next(format!(
            "`kill -CONT {pid}` to let it go on, or `kill -KILL {pid}` to end it and its clusters"
        ))
}

/// Starts a keeper if nobody holds its lock.
fn start_if_none(order: &Order, started: &mut usize) -> Result<(), Failure> {
    let lock = order.ground.try_lock().map_err(|error| no_keeper(order, &error.to_string()))?;
    let Some(lock) = lock else { return Ok(()) };
    if *started == TRIES {
        return Err(no_keeper(order, &format!("{TRIES} keepers ended before they answered")));
    }
    *started += 1;
    start(order, lock).map_err(|error| no_keeper(order, &error.to_string()))
}

fn start(order: &Order, lock: File) -> io::Result<()> {
    let log = order.ground.open_log()?;
    let order = serde_json::to_string(order)?;
    #[expect(clippy::disallowed_methods, reason = "the one process that the runtime starts: itself")]
    let mut keeper = Command::new(std::env::current_exe()?);
    keeper.arg(ARGUMENT).arg(order).stdin(lock).stdout(log.try_clone()?).stderr(log).spawn()?;
    Ok(())
}

fn no_keeper(order: &Order, seen: &str) -> Failure {
    Failure::new(FailureClass::Infrastructure, "keeper")
        .expected("the process that owns clusters to start and answer")
        .seen(seen)
        .seen(order.ground.last_words())
        .look(order.ground.log().display().to_string())
        .try_next("make room on the disk, or see that this program can start itself again")
}

/// A client's side of a socket, at whose other end a keeper is.
fn link(stream: UnixStream, keeper: Option<u32>) -> Link {
    let (read, mut write) = stream.into_split();
    let (requests, mut said) = mpsc::unbounded_channel::<Request>();
    let (heard, replies) = mpsc::unbounded_channel::<Reply>();
    let mut carriers = JoinSet::new();
    carriers.spawn(async move {
        while let Some(request) = said.recv().await {
            if write.write_all(&line(&request)).await.is_err() {
                return;
            }
        }
    });
    carriers.spawn(async move {
        let mut lines = BufReader::new(read).lines();
        let silence = env::settings().scaled(SILENCE);
        while let Ok(Ok(Some(line))) = tokio::time::timeout(silence, lines.next_line()).await {
            let Ok(reply) = serde_json::from_str(&line) else { return };
            if heard.send(reply).is_err() {
                return;
            }
        }
    });
    Link { requests, replies, carriers, keeper }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::keeper::Ground;
    use crate::pool::ledger::Keeping;
    use crate::pool::wire::Owning;
    use crate::process::Process;

    #[tokio::test]
    async fn a_keeper_that_does_not_answer_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let ground = Ground::at(directory.path());
        let _lock = ground.try_lock().unwrap().expect("nobody has it");
        // The kernel accepts connections; nobody ever serves them.
        let _listener = std::os::unix::net::UnixListener::bind(ground.socket()).unwrap();
        let owning = Owning { owner: Process::this(), keeping: Keeping::default() };
        let within = Duration::from_millis(300);
        let connected = connect_within(&Order { ground, owning }, Plans::new(), within).await;
        let failure = connected.err().expect("nobody answers");
        let this = std::process::id();
        let (seen, next) = (format!("process {this} says nothing"), format!("`kill -KILL {this}`"));
        assert!(failure.to_string().contains(&seen) && failure.to_string().contains(&next), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_keeper_that_falls_silent_is_as_good_as_gone() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(link(ours, None).replies.recv().await.is_none());
    }
}
