//! The thread on which backends make, follow and remove what belongs to clusters, independently of the runtimes
//! of the cases, which come and go.
//!
//! It lives as long as the process: the kernel ends a local node when the thread that started it ends.

use std::future::Future;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle};

static THREAD: LazyLock<Handle> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("clusters".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .expect("a thread can be started");
    handle
});

/// Where to run what nobody waits for.
pub(crate) fn handle() -> &'static Handle {
    &THREAD
}

/// Runs a task to its end, whatever becomes of the caller.
pub(crate) async fn to_the_end<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    THREAD.spawn(task).await.expect("tasks of this thread do not panic")
}
