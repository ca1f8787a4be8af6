//! How far each case is, on stderr: a bar per live case on a terminal, else one line per phase.

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, IsTerminal, PipeReader, PipeWriter};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use libtest_mimic::{Arguments, ColorSetting, FormatSetting};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::context::{RunContext, Stage};
use crate::wait;

/// Where progress is shown.
#[derive(Clone)]
pub(super) enum Progress {
    /// One line per phase.
    Lines,
    /// A bar per case, below what is printed.
    Bars(Arc<Bars>),
}

pub(super) struct Bars {
    all: MultiProgress,
    /// Carries what libtest-mimic prints past the bars.
    printed: Mutex<Option<(PipeWriter, JoinHandle<()>)>>,
}

impl Progress {
    /// Decides by where stderr goes. Where there are bars, the arguments make libtest-mimic print through
    /// them.
    pub(super) fn begin(mut arguments: Arguments, no_capture: bool) -> (Self, Arguments) {
        let plain = matches!(arguments.format, None | Some(FormatSetting::Pretty)) && !arguments.quiet;
        let alone = no_capture || !plain || arguments.logfile.is_some();
        if alone || !std::io::stderr().is_terminal() {
            return (Self::Lines, arguments);
        }
        let Ok((reader, writer)) = std::io::pipe() else { return (Self::Lines, arguments) };
        let all = MultiProgress::new();
        let Ok(printer) = print_past(&all, reader) else { return (Self::Lines, arguments) };
        arguments.logfile = Some(format!("/dev/fd/{}", writer.as_raw_fd()));
        if arguments.color.unwrap_or(ColorSetting::Auto) == ColorSetting::Auto
            && std::io::stdout().is_terminal()
        {
            arguments.color = Some(ColorSetting::Always);
        }
        (Self::Bars(Arc::new(Bars { all, printed: Mutex::new(Some((writer, printer))) })), arguments)
    }

    /// The progress of one case.
    pub(super) fn case(&self, name: &str) -> CaseProgress {
        let bar = match self {
            Self::Lines => None,
            Self::Bars(bars) => {
                let style = ProgressStyle::with_template("{spinner} {prefix} {wide_msg}");
                let bar = ProgressBar::new_spinner()
                    .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                let bar = bars.all.add(bar.with_prefix(name.to_owned()));
                bar.enable_steady_tick(Duration::from_millis(250));
                Some((bar, bars.all.clone()))
            }
        };
        CaseProgress { name: name.to_owned(), bar, phases: Cell::new(0) }
    }

    /// Puts a line on stderr, above the bars.
    pub(super) fn say(&self, line: &str) {
        match self {
            Self::Lines => eprintln!("{line}"),
            Self::Bars(bars) => bars.all.suspend(|| eprintln!("{line}")),
        }
    }

    /// Waits until everything is printed; nothing is printed afterwards.
    pub(super) fn end(&self) {
        let Self::Bars(bars) = self else { return };
        let printed = bars.printed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((writer, printer)) = printed {
            drop(writer);
            let _ = printer.join();
        }
    }
}

/// Prints lines on stdout while the bars step aside.
fn print_past(bars: &MultiProgress, lines: PipeReader) -> std::io::Result<JoinHandle<()>> {
    let bars = bars.clone();
    let print = move || {
        for line in BufReader::new(lines).lines().map_while(Result::ok) {
            bars.suspend(|| println!("{line}"));
        }
    };
    std::thread::Builder::new().name("printer".to_owned()).spawn(print)
}

/// The progress of one case.
pub(super) struct CaseProgress {
    name: String,
    bar: Option<(ProgressBar, MultiProgress)>,
    /// How many were told.
    phases: Cell<usize>,
}

impl CaseProgress {
    /// Says what the case does now. Its first phase is to wait: there may be more of those than a terminal has lines,
    /// so that a case goes above them with its second.
    pub(super) fn phase(&self, what: &str) {
        match &self.bar {
            None => eprintln!("{}: {what}", self.name),
            // It is there to be read.
            Some((bar, _)) if bar.message() == what => {}
            Some((bar, all)) => {
                let before = self.phases.replace(self.phases.get() + 1);
                bar.set_message(what.to_owned());
                if before == 1 {
                    all.remove(bar);
                    all.insert(0, bar.clone());
                }
            }
        }
    }

    /// Says what came of the case.
    pub(super) fn end(&self, what: &str) {
        let line = format!("{}: {what}", self.name);
        match &self.bar {
            None => eprintln!("{line}"),
            Some((bar, all)) => {
                bar.finish_and_clear();
                all.suspend(|| eprintln!("{line}"));
            }
        }
    }

    /// Says how far each drive is, for as long as it is polled. A stage that is over before it can be told, as
    /// settling is where nothing is in flight, is left out.
    pub(super) async fn follow(&self, mut contexts: watch::Receiver<Option<RunContext>>) -> Infallible {
        loop {
            let Ok(context) = contexts.wait_for(Option::is_some).await.map(|context| context.clone()) else {
                return std::future::pending().await;
            };
            contexts.mark_unchanged();
            if let Some(context) = context {
                tokio::select! {
                    _ = contexts.changed() => {}
                    never = self.follow_drive(&context) => match never {},
                }
            }
        }
    }

    async fn follow_drive(&self, context: &RunContext) -> Infallible {
        let mut stages = context.stages();
        loop {
            let stage = *stages.borrow_and_update();
            self.phase(&describe(stage, context, self.bar.is_some()));
            let changed = async { _ = stages.changed().await };
            match &self.bar {
                None => changed.await,
                Some(_) => {
                    let again = wait::pause_until(Instant::now() + Duration::from_millis(250));
                    tokio::select! { () = changed => {}, () = again => {} }
                }
            }
            if *stages.borrow() == Stage::Settled {
                self.phase("judging");
                return std::future::pending().await;
            }
        }
    }
}

impl Drop for CaseProgress {
    fn drop(&mut self) {
        if let Some((bar, _)) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What happens in a stage; `live` is told again and again.
fn describe(stage: Stage, context: &RunContext, live: bool) -> String {
    let height = context.feed().best_height();
    match stage {
        Stage::Capture => "capturing".to_owned(),
        Stage::Drive(_) if live => {
            let left = context
                .deadline()
                .map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
            format!("driving, {} s left; height {height}, {} in flight", left.as_secs(), context.pending())
        }
        Stage::Drive(_) => format!("driving for {}", context.window()),
        Stage::Settle => format!("settling; height {height}, {} in flight", context.pending()),
        Stage::Settled => "judging".to_owned(),
    }
}
