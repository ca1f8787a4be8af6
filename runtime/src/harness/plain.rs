//! Plain tests beside scenarios: what `#[logos_scenario::test]` registers, since a program without libtest
//! has no `#[test]`s.

use std::fmt;
use std::panic::catch_unwind;

use libtest_mimic::Failed;

use super::Shared;
use super::logs::{self, Logs};
use crate::runner::{TASK, panic_text};

/// One `#[test]` function, as its attribute registers it.
#[derive(Debug)]
pub struct PlainTest {
    /// Name of the function.
    pub function: &'static str,
    /// Its module, beginning with its crate.
    pub module: &'static str,
    /// Its file, relative to the workspace.
    pub file: &'static str,
    /// Where the function is.
    pub line: u32,
    /// Where the function is.
    pub column: u32,
    /// The reason of `#[ignore]`, empty where none is given.
    pub ignore: Option<&'static str>,
    /// The function.
    pub body: fn() -> Result<(), String>,
}

inventory::collect!(PlainTest);

/// All of them, sorted by name.
pub(super) fn all(main_crate: &str) -> Vec<(String, &'static PlainTest)> {
    let mut tests: Vec<_> = inventory::iter::<PlainTest>()
        .map(|test| (crate::case::path(main_crate, test.module, test.function), test))
        .collect();
    tests.sort_by(|(one, _), (other, _)| one.cmp(other));
    tests
}

impl PlainTest {
    /// Where the function is, for messages.
    pub(super) fn location(&self) -> String {
        format!("{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Runs one, unless the run was interrupted before; a panic tells its name.
pub(super) fn run(name: &str, test: &PlainTest, shared: &Shared) -> Result<(), Failed> {
    if shared.interrupt.has_happened() {
        return Err("the run was interrupted before this test began".into());
    }
    let logs = Logs::default();
    logs.attach();
    let failed = match TASK.sync_scope(name.to_owned(), || catch_unwind(test.body)) {
        Ok(Ok(())) => {
            if let Some(logs) = logs.text().filter(|_| shared.shows_passing) {
                shared.progress.say(&format!("{name}: log:\n{logs}"));
            }
            return Ok(());
        }
        Ok(Err(error)) => format!("an error: {error}"),
        Err(panic) => {
            let place = logs::panic_place().map(|place| format!(" at {place}")).unwrap_or_default();
            format!("a panic{place}: {}", panic_text(&*panic))
        }
    };
    Err(logs.failed(&failed))
}

/// Calls a plain test; what the attribute's expansion names.
pub fn called<R>(test: impl FnOnce() -> R) -> R {
    test()
}

/// Calls a plain test that is an `async fn`, on a runtime of its own.
///
/// # Panics
///
/// The system gives no runtime.
pub fn awaited<R>(test: impl AsyncFnOnce() -> R) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives a runtime").block_on(test())
}

/// What a plain test came to. Apart from the call, so that a compiler tells a wrong return type where that is
/// written.
///
/// # Errors
///
/// What the test returned.
pub fn plain_outcome(returned: impl PlainResult) -> Result<(), String> {
    returned.outcome()
}

/// What a plain test may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a supported return type of a #[test]",
    label = "must be `()`, or `Result<(), E>` with `E: Debug`"
)]
pub trait PlainResult {
    /// What the test came to.
    ///
    /// # Errors
    ///
    /// Why it failed.
    fn outcome(self) -> Result<(), String>;
}

impl PlainResult for () {
    fn outcome(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Debug + 'static> PlainResult for Result<(), E> {
    fn outcome(self) -> Result<(), String> {
        self.map_err(|error| crate::case::told(&error))
    }
}
