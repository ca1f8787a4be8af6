//! Clusters that somebody has to remove: signs of life until then, and removals that whoever goes away waits for.

use std::future::Future;
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use logos_scenario_runtime::deployer::{DeployError, Placement};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, Interval};

use crate::thread;

/// How long whoever goes away waits for what it leaves to be removed.
const REMOVAL: Duration = Duration::from_secs(60);
/// How long a cluster is not begun while what others left is removed, which may be the room for it.
const SWEEP: Duration = Duration::from_secs(5);
/// How often a living owner says so.
const BEAT: Duration = Duration::from_secs(30);

/// A task whose end is waited for by who drops this.
#[must_use]
pub(crate) struct Awaited(mpsc::Receiver<()>);

/// Starts a task that nobody may go away from before its end.
pub(crate) fn awaited(task: impl Future<Output = ()> + Send + 'static) -> Awaited {
    let (over, ends) = mpsc::channel();
    thread::handle().spawn(async move {
        task.await;
        drop(over);
    });
    Awaited(ends)
}

/// Sweeps before a cluster is made, and beside it where that takes long: what somebody else left and nobody can remove
/// is no reason to have no cluster, or to have it late.
pub(crate) async fn swept(
    place: &Placement,
    sweep: impl Future<Output = Result<Vec<String>, DeployError>> + Send + 'static,
) {
    let place = place.clone();
    let swept = thread::handle().spawn(async move { place.swept(&sweep.await.unwrap_or_default()) });
    // It goes on when this is over.
    let _ = tokio::time::timeout(SWEEP, swept).await;
}

/// Removes a cluster, unless that was done. Nobody is left to be told; what stays is swept.
pub(crate) fn removal<R: Future<Output = ()> + Send + 'static>(
    running: &Arc<Mutex<bool>>,
    remove: R,
) -> impl Future<Output = ()> + Send + use<R> {
    let running = Arc::clone(running);
    async move {
        let mut running = running.lock().await;
        if std::mem::take(&mut *running) {
            remove.await;
        }
    }
}

/// Waits for the removal of a cluster that is dropped, unless that was done.
pub(crate) fn leave(running: &Mutex<bool>, removal: impl Future<Output = ()> + Send + 'static) {
    let is_gone = running.try_lock().is_ok_and(|running| !*running);
    if !is_gone {
        drop(awaited(removal));
    }
}

/// When the owner of a cluster says that it lives: again and again, until the cluster is torn down.
pub(crate) struct Beats {
    ticks: Interval,
    running: Weak<Mutex<bool>>,
}

impl Beats {
    /// All that was just made says so already, so that the first is due after a while.
    pub(crate) fn new(running: &Arc<Mutex<bool>>) -> Self {
        let ticks = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
        Self { ticks, running: Arc::downgrade(running) }
    }

    /// The next one is due; while this is held nothing is torn down. `None` is the end.
    pub(crate) async fn next(&mut self) -> Option<OwnedMutexGuard<bool>> {
        self.ticks.tick().await;
        Some(self.running.upgrade()?.lock_owned().await).filter(|running| **running)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        // Nothing is sent: the channel ends with the task. What is left after this time is swept later.
        let _: Result<(), _> = self.0.recv_timeout(REMOVAL);
    }
}
