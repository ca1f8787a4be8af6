//! A second process that sweeps up if this one is killed: nobody else could, since containers are not children.
//!
//! It is this program once more, which turns into the watcher before its `main`, so that every program with a
//! cluster has one and none has to provide for it. It reads from a pipe whose other end this process holds and
//! never uses, so that the pipe ends when this process does, however that happens.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use super::{engine, sweep};
use crate::env::{self, Settings};

/// How often the watcher looks again: what the engine was doing when this process ended takes a while to appear.
const LOOKS: u32 = 5;
const BETWEEN: Duration = Duration::from_secs(1);

/// Starts the watcher of this process, once.
pub(super) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        std::hint::black_box(&BEFORE_MAIN);
        // Without a watcher what a killed process leaves is swept by the next one.
        let _ = spawn();
    });
}

fn spawn() -> std::io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    #[expect(clippy::disallowed_methods, reason = "the one place of this backend that starts a process")]
    let mut watcher = Command::new(std::env::current_exe()?)
        .env(env::WATCH, std::process::id().to_string())
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
    if env::watched().is_some_and(|parent| parent == std::os::unix::process::parent_id()) {
        watch();
        exit();
    }
}

/// Waits until the process that started this one ended, then sweeps.
fn watch() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let Ok(settings) = Settings::get() else { return };
    engine::block_on(async {
        let Ok(docker) = engine::connect(&settings).await else { return };
        let mut looks = tokio::time::interval(BETWEEN);
        for _ in 0..LOOKS {
            looks.tick().await;
            // The next look, or the next process, may have more luck.
            let _ = sweep::sweep(&docker).await;
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "the watcher is over, and the program's `main` must not begin")]
fn exit() -> ! {
    std::process::exit(0)
}
