//! Which functions can be the body of a scenario, and what becomes of what they return.

use std::any::Any;
use std::fmt;
use std::process::ExitCode;

use futures::future::LocalBoxFuture;

use crate::run::Run;

/// What running a body came to.
pub type BodyFuture<'a> = LocalBoxFuture<'a, Result<(), BodyError>>;

/// Why a body did not succeed.
#[derive(Debug)]
pub struct BodyError {
    /// What it said.
    pub text: String,
    /// Whether it is the failure of a drive, which is known already.
    pub of_drive: bool,
}

/// A function that can be the body of a scenario: an `async fn` with no argument or `&mut Run`.
#[diagnostic::on_unimplemented(
    message = "this function cannot be the body of a #[scenario]",
    label = "must be an `async fn` that takes no argument or `&mut Run`",
    note = "it returns `()`, `Result<(), E>` with `E: Debug`, or `ExitCode`"
)]
pub trait Body<Marker> {
    /// Runs it.
    fn run(self, run: &mut Run) -> BodyFuture<'_>;
}

/// Marks a body with an argument.
pub struct WithRun<R>(std::marker::PhantomData<R>);
/// Marks a body without an argument.
pub struct WithoutRun<R>(std::marker::PhantomData<R>);

impl<F, R> Body<WithRun<R>> for F
where
    F: AsyncFn(&mut Run) -> R + 'static,
    R: ScenarioResult,
{
    fn run(self, run: &mut Run) -> BodyFuture<'_> {
        Box::pin(async move { self(run).await.into_outcome() })
    }
}

impl<F, R> Body<WithoutRun<R>> for F
where
    F: AsyncFn() -> R + 'static,
    R: ScenarioResult,
{
    fn run(self, _: &mut Run) -> BodyFuture<'_> {
        Box::pin(async move { self().await.into_outcome() })
    }
}

/// Runs a body; what the attribute's expansion calls.
pub fn call<Marker>(body: impl Body<Marker>, run: &mut Run) -> BodyFuture<'_> {
    body.run(run)
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
    /// The body says that it failed.
    fn into_outcome(self) -> Result<(), BodyError>;
}

impl ScenarioResult for () {
    fn into_outcome(self) -> Result<(), BodyError> {
        Ok(())
    }
}

impl<E: fmt::Debug + 'static> ScenarioResult for Result<(), E> {
    fn into_outcome(self) -> Result<(), BodyError> {
        self.map_err(|error| {
            let any: &dyn Any = &error;
            let of_drive = any
                .downcast_ref::<anyhow::Error>()
                .is_some_and(|error| error.downcast_ref::<crate::failure::RunFailed>().is_some());
            BodyError { text: format!("{error:?}"), of_drive }
        })
    }
}

impl ScenarioResult for ExitCode {
    fn into_outcome(self) -> Result<(), BodyError> {
        if self == Self::SUCCESS {
            return Ok(());
        }
        Err(BodyError { text: format!("it returned {self:?}"), of_drive: false })
    }
}
