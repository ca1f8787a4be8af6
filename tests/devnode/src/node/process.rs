//! What a node shares with its operating system: arguments, environment, signals, and its end.

use std::io;
use std::panic;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the environment says.
pub(super) struct Environment {
    pub(super) log_level: Option<String>,
    pub(super) log_filter: Option<String>,
    pub(super) log_dir: Option<String>,
    /// Where spans go.
    pub(super) traces: Option<(&'static str, String)>,
    /// Where metrics go, with the name of the variable that says so, as for spans.
    pub(super) metrics: Option<(&'static str, String)>,
    /// The span under which this node's are, as W3C's `traceparent` has it.
    pub(super) traceparent: Option<String>,
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "the node's settings from the environment, read once")]
    pub(super) fn read() -> Self {
        let get = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let named = |name| Some((name, get(name)?));
        Self {
            log_level: get("NOMOS_LOG_LEVEL"),
            log_filter: get("NOMOS_LOG_FILTER"),
            log_dir: get("NOMOS_LOG_DIR"),
            traces: named("NOMOS_OTLP_ENDPOINT"),
            metrics: named("NOMOS_OTLP_METRICS_ENDPOINT").or_else(|| named("NOMOS_METRICS_OTLP_INGEST_URL")),
            traceparent: get("TRACEPARENT"),
        }
    }
}

/// Ends the process after the usual message of a panic, in whichever task it is: half a node is none.
pub(super) fn exit_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        tell(info);
        exit(101);
    }));
}

/// Ends the process, whatever else it does.
#[expect(clippy::disallowed_methods, reason = "a node that panicked has nothing to tear down")]
pub(super) fn exit(code: i32) -> ! {
    std::process::exit(code)
}

/// The signals that end a node.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one of them and tells its name.
    pub(super) async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
