//! The one thread that starts nodes.
//!
//! The kernel ends a node when the thread that started it ends, so that thread must live as long as the
//! process. It also waits for the nodes, independently of the runtimes of the cases, which come and go.

use std::fs::File;
use std::future::Future;
use std::io;
use std::process::Stdio;
use std::sync::LazyLock;

use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::runtime::{Builder, Handle};

use super::render::NodeCommand;

static SPAWNER: LazyLock<Handle> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("nodes".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .expect("a thread can be started");
    handle
});

/// Runs a task on the spawner's thread to its end, whatever becomes of the caller.
pub(super) async fn on_spawner<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    SPAWNER.spawn(task).await.expect("tasks of the spawner do not panic")
}

/// Runs a task on the spawner's thread; nobody waits for it.
pub(super) fn let_spawner<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) {
    SPAWNER.spawn(task);
}

/// Starts a node in a process group of its own. Must run on the spawner's thread.
pub(super) fn spawn(node: &NodeCommand) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(&node.log)?;
    #[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
    let mut command = Command::new(&node.program);
    command
        .args(&node.args)
        .env_clear()
        .envs(&node.env)
        .current_dir(&node.directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    die_with_parent(&mut command);
    command.spawn()
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};
    let parent = getpid();
    let before_exec = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the kernel was told to watch it.
        if getppid() != Some(parent) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        close_foreign_descriptors()
    };
    #[expect(unsafe_code, reason = "only between fork and exec can a child ask to die with its parent")]
    // SAFETY: the closure makes system calls only; it neither allocates nor takes locks.
    unsafe {
        command.pre_exec(before_exec);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

/// Descriptors that this process inherited without close-on-exec, such as a CI's pipes, end here.
#[cfg(target_os = "linux")]
fn close_foreign_descriptors() -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    #[expect(unsafe_code, reason = "there is no safe form of close_range")]
    // SAFETY: the descriptors are marked, not closed, so that none is taken from under its owner.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    // A kernel before 5.11 does not know the flag; then only descriptors of others' making leak.
    let _ = marked;
    Ok(())
}

/// Sends a signal to all of a process group; whether there was one.
pub(super) fn signal(group: Pid, signal: Signal) -> bool {
    rustix::process::kill_process_group(group, signal).is_ok()
}

/// Whether any process of the group is left.
pub(super) fn lives(group: Pid) -> bool {
    rustix::process::test_kill_process_group(group).is_ok()
}
