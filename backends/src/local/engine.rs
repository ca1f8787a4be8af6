//! The kernel, as far as nodes are concerned: how a process is started so that it dies with this one, and how a
//! process group is signalled and looked at.

use std::fs::File;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use logos_scenario_runtime::deployer::Usage;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

use super::render::NodeCommand;

/// Starts a node in a process group of its own. Must run on [the thread](crate::thread) that lives as long as this
/// process.
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

/// The letter by which the kernel tells what a process does; empty where there is none.
pub(super) fn process_state(pid: Pid) -> String {
    stat(pid).into_iter().next().unwrap_or_default()
}

/// What a process uses; nothing where there is none.
pub(super) fn usage(pid: Pid) -> Option<Usage> {
    // By proc(5): state is field 3, utime 14, stime 15, rss 24.
    let stat = stat(pid);
    let field = |number: usize| stat.get(number - 3)?.parse::<u64>().ok();
    let ticks = field(14)? + field(15)?;
    let processor = Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64);
    Some(Usage { memory: field(24)? * page_size() as u64, processor })
}

/// What the kernel tells of a process from its state on; nothing where there is none.
fn stat(pid: Pid) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest);
    after_name.into_iter().flat_map(|rest| rest.split_whitespace()).map(str::to_owned).collect()
}
