//! Ctrl-C, SIGTERM, and the end of the `cargo` that runs this: every running case gives its cluster back. A
//! second one ends the process at once; its leases end with it.

use tokio::sync::watch;

use super::progress::Progress;
use crate::process::Process;

/// Tells that the process should end.
#[derive(Clone)]
pub(super) struct Interrupt(watch::Sender<bool>);

impl Default for Interrupt {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Interrupt {
    /// Listens on a thread of its own, for as long as the process lives.
    pub(super) fn listen(&self, progress: &Progress) {
        let (sender, progress) = (self.0.clone(), progress.clone());
        let listener = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let mut signals = Signals::new();
                let (owner, _) = Process::invocation();
                let why = tokio::select! {
                    () = signals.recv() => "interrupted",
                    () = owner.ended() => "whoever started this has ended",
                };
                progress.say(&format!("{why}: giving clusters back; once more ends at once"));
                sender.send_replace(true);
                signals.recv().await;
            });
            #[expect(clippy::disallowed_methods, reason = "the second interrupt asks for just this")]
            std::process::exit(130);
        };
        std::thread::Builder::new()
            .name("interrupt".to_owned())
            .spawn(listener)
            .map(drop)
            .unwrap_or_default();
    }

    /// Whether the process should end.
    pub(super) fn has_happened(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes when the process should end.
    pub(super) async fn happened(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|happened| *happened).await;
    }
}

/// Ctrl-C and SIGTERM, from the making of this on: none is lost between two calls of `recv`.
#[cfg(unix)]
struct Signals(Option<[tokio::signal::unix::Signal; 2]>);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self(signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok()).map(Into::into))
    }

    async fn recv(&mut self) {
        let Some([interrupt, terminate]) = &mut self.0 else { return std::future::pending().await };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Self {
        Self
    }

    async fn recv(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
