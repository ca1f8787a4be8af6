//! What a case logs: kept while it runs, shown if it fails. The threads of a case's runtime and the one of
//! its body belong to the case; what others log goes to stderr.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use libtest_mimic::Failed;
use tracing_subscriber::EnvFilter;

use super::trace;
use crate::env;
use crate::report::mask;
use crate::runner::{TASK, panic_text};

/// Bytes that are kept of a case's log; the oldest lines go first.
const LIMIT: usize = 1 << 20;

static NO_CAPTURE: OnceLock<bool> = OnceLock::new();

thread_local! {
    /// The log of the case that this thread belongs to.
    static CURRENT: RefCell<Option<Logs>> = const { RefCell::new(None) };
    /// Where this thread panicked last.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Where a panic was that the calling thread caught.
pub(super) fn panic_place() -> Option<String> {
    PANIC.take()
}

/// The log of one case.
#[derive(Clone, Default)]
pub(super) struct Logs(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// One event each.
    events: VecDeque<String>,
    bytes: usize,
    dropped: usize,
    panics: Vec<String>,
}

/// Directs events and panics to the logs of their cases, or to stderr for all.
pub(super) fn install(no_capture: bool) {
    if NO_CAPTURE.set(no_capture).is_err() {
        return;
    }
    let filter = EnvFilter::new(&env::settings().log);
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| Writer);
    // A program that has a subscriber of its own keeps it.
    let _ = subscriber.try_init();
    std::panic::set_hook(Box::new(panicked));
}

impl Logs {
    /// Lets the calling thread belong to the case.
    pub(super) fn attach(&self) {
        CURRENT.set(Some(self.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was logged, if anything and if it is not on stderr already.
    pub(super) fn text(&self) -> Option<String> {
        let kept = self.lock();
        if kept.events.is_empty() {
            return None;
        }
        let dropped = match kept.dropped {
            0 => String::new(),
            dropped => format!("({dropped} earlier events are left out)\n"),
        };
        Some(dropped + &kept.events.iter().map(String::as_str).collect::<String>())
    }

    /// What tasks panicked with.
    pub(super) fn panics(&self) -> Vec<String> {
        self.lock().panics.clone()
    }

    /// What libtest-mimic is told of a failure: all there is to say. nextest looks for it on stderr, where it puts
    /// what follows `Error: ` into JUnit, and shows stdout too, where one line is enough then.
    pub(super) fn failed(&self, message: &str) -> Failed {
        if env::settings().nextest.is_some() {
            eprintln!("Error: {message}");
            return message.lines().next().unwrap_or_default().into();
        }
        match self.text() {
            Some(logs) => format!("{message}\n\nlog of the framework:\n{}", logs.trim_end()).into(),
            None => message.into(),
        }
    }

    fn push(&self, event: String) {
        let mut kept = self.lock();
        kept.bytes += event.len();
        kept.events.push_back(event);
        while kept.bytes > LIMIT && kept.events.len() > 1 {
            kept.bytes -= kept.events.pop_front().map_or(0, |event| event.len());
            kept.dropped += 1;
        }
    }
}

/// The log of this thread's case, where it is kept.
fn current() -> Option<Logs> {
    let captures = !NO_CAPTURE.get().copied().unwrap_or(true);
    CURRENT.with_borrow(|logs| logs.clone().filter(|_| captures))
}

/// Gets one whole event at a time.
struct Writer;

impl Write for Writer {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let masked = mask::text(&text).into_owned();
        match current() {
            Some(logs) => logs.push(masked),
            None => io::stderr().write_all(masked.as_bytes())?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Names the task in which a panic happened, since a thread of a runtime has many.
fn panicked(info: &PanicHookInfo<'_>) {
    let who = TASK
        .try_with(|name| format!("`{name}`"))
        .ok()
        .or_else(|| Some(format!("task {}", tokio::task::try_id()?)));
    let thread = std::thread::current();
    let who = who.unwrap_or_else(|| format!("thread `{}`", thread.name().unwrap_or("without a name")));
    let place = info.location().map(ToString::to_string);
    let at = place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    PANIC.set(place);
    let panic = format!("{who} panicked{at}: {}", panic_text(info.payload()));
    let trace = trace::short(&Backtrace::capture()).unwrap_or_default();
    let event = format!("{panic}\n{trace}");
    if let Some(logs) = CURRENT.with_borrow(Clone::clone).filter(|_| tokio::task::try_id().is_some()) {
        logs.lock().panics.push(panic);
    }
    let _ = Writer.write_all(event.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_make_room() {
        let logs = Logs::default();
        assert_eq!(logs.text(), None);
        let event = |name: &str| format!("{name}{}\n", "x".repeat(LIMIT / 2));
        ["first", "second", "third"].iter().for_each(|name| logs.push(event(name)));
        let text = logs.text().expect("it has events");
        assert!(text.starts_with("(2 earlier events are left out)\nthird"), "{}", &text[..60]);
    }
}
