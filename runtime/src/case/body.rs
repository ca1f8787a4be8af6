//! Which functions can be the body of a scenario, and what becomes of what they return.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use futures::future::LocalBoxFuture;

use crate::failure::{Failure, RunFailed};
use crate::harness::trace;
use crate::run::Run;

/// What running a body came to: nothing, or what it said of its failure.
pub type BodyFuture<'a> = LocalBoxFuture<'a, Result<(), String>>;

/// A function that can be the body of a scenario: an `async fn` with no argument or `&mut Run`.
#[diagnostic::on_unimplemented(
    message = "this function cannot be the body of a #[scenario]",
    label = "must be an `async fn` that takes no argument or `&mut Run`",
    note = "it returns `()`, `Result<(), E>` with `E: Debug`, or `ExitCode`"
)]
pub trait Body<Marker> {
    /// What it returns.
    type Returned;

    /// Runs it.
    fn run(self, run: &mut Run) -> LocalBoxFuture<'_, Self::Returned>;
}

/// Marks a body with an argument.
#[derive(Debug)]
pub struct WithRun<R>(std::marker::PhantomData<R>);
/// Marks a body without an argument.
#[derive(Debug)]
pub struct WithoutRun<R>(std::marker::PhantomData<R>);

impl<F: AsyncFn(&mut Run) -> R + 'static, R> Body<WithRun<R>> for F {
    type Returned = R;

    fn run(self, run: &mut Run) -> LocalBoxFuture<'_, R> {
        Box::pin(async move { self(run).await })
    }
}

impl<F: AsyncFn() -> R + 'static, R> Body<WithoutRun<R>> for F {
    type Returned = R;

    fn run(self, _: &mut Run) -> LocalBoxFuture<'_, R> {
        Box::pin(async move { self().await })
    }
}

/// Runs a body; what the attribute's expansion calls.
pub fn call<Marker, B: Body<Marker>>(body: B, run: &mut Run) -> LocalBoxFuture<'_, B::Returned> {
    body.run(run)
}

/// What running a body comes to. Apart from [`call`], so that a compiler tells a wrong return type where that is
/// written.
pub fn outcome<R: ScenarioResult + 'static>(returned: LocalBoxFuture<'_, R>) -> BodyFuture<'_> {
    Box::pin(async move { returned.await.into_outcome() })
}

/// What a body may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a supported return type of a #[scenario]",
    label = "must be `()`, `Result<(), E>` with `E: Debug`, or `ExitCode`"
)]
pub trait ScenarioResult {
    /// What the body came to.
    ///
    /// # Errors
    ///
    /// What it says of its failure.
    fn into_outcome(self) -> Result<(), String>;
}

impl ScenarioResult for () {
    fn into_outcome(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Debug + 'static> ScenarioResult for Result<(), E> {
    fn into_outcome(self) -> Result<(), String> {
        self.map_err(|error| told(&error))
    }
}

impl ScenarioResult for ExitCode {
    fn into_outcome(self) -> Result<(), String> {
        if self == Self::SUCCESS { Ok(()) } else { Err(format!("it returned {self:?}")) }
    }
}

/// What an error says to people, where it can be asked, else to programmers.
pub(crate) fn told<E: fmt::Debug + 'static>(error: &E) -> String {
    let any: &dyn Any = error;
    if let Some(error) = any.downcast_ref::<anyhow::Error>() {
        // In the message itself it would hide what the error says.
        let says_all = error.is::<RunFailed>() || error.is::<Failure>();
        if let Some(trace) = trace::short(error.backtrace()).filter(|_| !says_all) {
            tracing::info!("the error `{error}` was made at\n{}", trace.trim_end());
        }
        return with_causes(error.chain());
    }
    let boxed = any.downcast_ref::<Box<dyn Error>>().map(|error| &**error);
    let sendable = || any.downcast_ref::<Box<dyn Error + Send + Sync>>().map(|error| &**error as &dyn Error);
    if let Some(error) = boxed.or_else(sendable) {
        return with_causes(anyhow::Chain::new(error));
    }
    let text = any.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| any.downcast_ref::<&str>().copied()).map_or_else(|| format!("{error:?}"), str::to_owned)
}

/// An error with what caused it, each once, though many an error repeats its cause.
fn with_causes(chain: anyhow::Chain<'_>) -> String {
    let mut text = String::new();
    for error in chain.map(ToString::to_string) {
        if text.is_empty() {
            text = error;
        } else if !text.contains(&error) {
            text = format!("{text}\ncaused by: {error}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn errors_are_told_as_to_people() {
        let parsed = || "many".parse::<u8>();
        let boxed = || -> Result<(), Box<dyn Error>> { Ok(_ = parsed()?) };
        let sendable = || -> Result<(), Box<dyn Error + Send + Sync>> { Ok(_ = parsed()?) };
        let cause = "invalid digit found in string";
        assert_eq!(told(&boxed().unwrap_err()), cause);
        assert_eq!(told(&sendable().unwrap_err()), cause);
        assert_eq!(told(&"a text"), "a text");
        assert_eq!(told(&"a text".to_owned()), "a text");
        assert_eq!(told(&7), "7");
        let error = parsed().context("no number").context("no height").unwrap_err();
        assert_eq!(told(&error), format!("no height\ncaused by: no number\ncaused by: {cause}"));
        let repeats = parsed().map_err(|error| anyhow::anyhow!(error).context(format!("no number: {cause}")));
        assert_eq!(told(&repeats.unwrap_err()), format!("no number: {cause}"));
    }
}
