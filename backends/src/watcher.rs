//! A second process that sweeps up if this one is killed: nobody else could, since containers and pods are not
//! children.
//!
//! It is this program once more, which turns into the watcher before its `main`, so that every program with a
//! cluster has one and none has to provide for it. It reads from a pipe whose other end this process holds and
//! never uses, so that the pipe ends when this process does, however that happens.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use logos_scenario_runtime::deployer::Deployer as _;

use crate::env;

/// How often the watcher looks again: what an engine was doing when this process ended takes a while to appear.
const LOOKS: u32 = 5;
const BETWEEN: Duration = Duration::from_secs(1);

/// Starts the watcher of this process's clusters of a backend, once.
pub(crate) fn start(backend: &'static str) {
    static STARTED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    if STARTED.lock().unwrap_or_else(PoisonError::into_inner).insert(backend) {
        std::hint::black_box(&BEFORE_MAIN);
        // Without a watcher what a killed process leaves is swept by the next one.
        let _ = spawn(backend);
    }
}

fn spawn(backend: &str) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    #[expect(clippy::disallowed_methods, reason = "the one place that starts a watcher")]
    let mut watcher = Command::new(std::env::current_exe()?)
        .env(env::WATCH, backend)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        // Ctrl-C is for the test.
        .process_group(0)
        .spawn()?;
    // The pipe ends with this process.
    std::mem::forget(watcher.stdin.take());
    Ok(())
}

#[expect(unsafe_code, reason = "the only way to run before a `main` that is not ours")]
// SAFETY: the section holds functions that the C library calls one after the other before `main`, on its thread.
#[unsafe(link_section = ".init_array")]
#[used]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    // Whose process may be gone by now, and this one another's child: it is the watcher all the same.
    if let Some(backend) = env::watched() {
        watch(&backend);
        exit();
    }
}

/// Waits until the process that started this one ended, then sweeps.
fn watch(backend: &OsStr) {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let mut looks = tokio::time::interval(BETWEEN);
        // A look that took long is no reason to look less long for what appears late.
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for _ in 0..LOOKS {
            looks.tick().await;
            // The next look, or the next process, may have more luck.
            match backend.to_str() {
                #[cfg(feature = "compose")]
                Some("compose") => drop(crate::ComposeDeployer::default().sweep().await),
                #[cfg(feature = "k8s")]
                Some("k8s") => drop(crate::K8sDeployer::default().sweep().await),
                _ => return,
            }
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "the watcher is over, and the program's `main` must not begin")]
fn exit() -> ! {
    std::process::exit(0)
}
