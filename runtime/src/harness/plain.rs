//! Plain tests beside scenarios: what `#[logos_scenario::test]` registers, since a program without libtest
//! has no `#[test]`s.

use std::fmt;
use std::panic::catch_unwind;

use libtest_mimic::{Failed, Trial};

use super::logs::Logs;
use crate::runner::panic_text;

/// One `#[test]` function, as its attribute registers it.
pub struct PlainTest {
    /// Name of the function.
    pub function: &'static str,
    /// Its module, beginning with its crate.
    pub module: &'static str,
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

/// The trial of one.
pub(super) fn trial(name: &str, test: &'static PlainTest) -> Trial {
    Trial::test(name, || run(test)).with_ignored_flag(test.ignore.is_some())
}

fn run(test: &PlainTest) -> Result<(), Failed> {
    let logs = Logs::default();
    logs.attach();
    let failed = match catch_unwind(test.body) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => format!("an error: {error}"),
        Err(panic) => format!("a panic: {}", panic_text(&*panic)),
    };
    Err(logs
        .text()
        .map_or_else(|| failed.clone(), |log| format!("{failed}\n\nlog:\n{}", log.trim_end()))
        .into())
}

/// Runs a plain test; what the attribute's expansion calls.
///
/// # Errors
///
/// What the test returned.
pub fn run_plain<R: PlainResult>(test: impl FnOnce() -> R) -> Result<(), String> {
    test().outcome()
}

/// Runs a plain test that is an `async fn` on a runtime of its own.
///
/// # Errors
///
/// What the test returned.
pub fn run_plain_async<R: PlainResult>(test: impl AsyncFnOnce() -> R) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("no runtime for the test: {error}"))?.block_on(test()).outcome()
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

impl<E: fmt::Debug> PlainResult for Result<(), E> {
    fn outcome(self) -> Result<(), String> {
        self.map_err(|error| format!("{error:?}"))
    }
}
