//! The body of a case, on a thread of its own: one that blocks its thread can be left behind.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::logs::{self, Logs};
use crate::case::Case;
use crate::failure::{Failure, FailureClass};
use crate::run::Run;
use crate::runner::panic_text;

/// For how long a body may go on between two awaits after it was told to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a body ended.
pub(super) struct Ended {
    /// Its own failure, or what ended it.
    pub(super) failure: Option<Failure>,
    /// Whether it was ended before it returned.
    pub(super) cut_short: bool,
    /// What it had; nothing if it still has it.
    pub(super) run: Option<Run>,
}

/// Runs the body and drives what it left, until `end` says why not to go on.
pub(super) async fn run(
    name: &str,
    case: &Case,
    mut run: Run,
    logs: &Logs,
    end: impl Future<Output = Failure>,
) -> Ended {
    let (tell_stop, stop) = oneshot::channel::<()>();
    let (tell_ended, ended) = oneshot::channel();
    let (runtime, logs, case) = (Handle::current(), logs.clone(), case.clone());
    let thread = move || {
        logs.attach();
        runtime.block_on(async {
            let failure = tokio::select! {
                biased;
                _ = stop => None,
                failure = returned(&case, &mut run) => failure,
            };
            // Nobody listens any more if this took too long.
            let _ = tell_ended.send((run, failure));
        });
    };
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(thread) {
        let failure = Failure::new(FailureClass::Infrastructure, "body").expected("a thread for the body");
        return Ended { failure: Some(failure.seen(error.to_string())), cut_short: true, run: None };
    }
    tokio::pin!(ended);
    let reason = tokio::select! {
        biased;
        reason = end => reason,
        Ok((run, failure)) = &mut ended => return Ended { failure, cut_short: false, run: Some(run) },
    };
    drop(tell_stop);
    match tokio::time::timeout(PATIENCE, ended).await {
        Ok(Ok((run, _))) => Ended { failure: Some(reason), cut_short: true, run: Some(run) },
        _ => Ended {
            failure: Some(reason.because("the body blocks its thread, which is left behind")),
            cut_short: true,
            run: None,
        },
    }
}

/// Runs the body and drives what it left; its own failure.
pub(super) async fn returned(case: &Case, run: &mut Run) -> Option<Failure> {
    let ended = AssertUnwindSafe((case.def.body)(run)).catch_unwind().await;
    let (what, text, place) = match ended {
        Ok(Ok(())) => {
            run.drive_rest().await;
            return None;
        }
        Ok(Err(error)) => ("an error", error, None),
        Err(panic) => ("a panic", panic_text(&*panic).to_owned(), logs::panic_place()),
    };
    // The failure of a drive is told by itself.
    (!run.drives().have_told(&text)).then(|| {
        Failure::new(FailureClass::Test, "body")
            .expected(format!("`{}` to return without {what}", case.def.function))
            .seen(format!("{what}: {text}"))
            .look(place.unwrap_or_else(|| case.location()))
    })
}
