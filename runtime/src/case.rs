//! What the attribute registers, and the cases that come of it: one per backend and choice of values.

use std::any::Any;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use crate::failure::Problem;
use crate::run::Run;
use crate::scenario::{BuildError, Scenario, ScenarioBuilder, Window};
use crate::topology::{Consensus, Layout, TopologyBuilder};

/// One `#[scenario]` function, as the attribute registers it.
pub struct CaseDef {
    /// Name of the function.
    pub function: &'static str,
    /// Its module, beginning with its crate.
    pub module: &'static str,
    /// Its package.
    pub package: &'static str,
    /// Its file, relative to the workspace.
    pub file: &'static str,
    /// Where the attribute is.
    pub line: u32,
    /// Where the attribute is.
    pub column: u32,
    /// The reason of `#[ignore]`, empty where none is given.
    pub ignore: Option<&'static str>,
    /// What the attribute says.
    pub args: CaseArgs,
    /// The function.
    pub body: for<'a> fn(&'a mut Run) -> BodyFuture<'a>,
}

/// What the attribute says.
#[derive(Clone, Copy, Debug)]
pub struct CaseArgs {
    /// Numbers of validators, one case each.
    pub validators: &'static [usize],
    /// Numbers of executors, one case each.
    pub executors: &'static [usize],
    /// Whether either was written as a list, so that names tell the numbers.
    pub matrix: bool,
    /// Names of backends, one case each.
    pub backends: &'static [&'static str],
    /// For how long the chain is watched.
    pub window: Window,
    /// Who dials whom.
    pub layout: Layout,
    /// How long a slot lasts.
    pub slot: Duration,
    /// The probability that a slot has a leader.
    pub active_slot_coeff: f64,
    /// The depth at which a block is final.
    pub security_param: u32,
    /// Changes the topology after all else is set.
    pub topology: Option<fn(TopologyBuilder) -> TopologyBuilder>,
    /// Drives everything random.
    pub seed: Option<u64>,
    /// The longest time for body and window.
    pub timeout: Option<Duration>,
    /// Text that the failure must have for the case to pass.
    pub should_fail: Option<&'static str>,
    /// Words by which cases can be chosen.
    pub tags: &'static [&'static str],
}

impl CaseArgs {
    /// What holds where the attribute says nothing.
    pub const DEFAULT: Self = Self {
        validators: &[1],
        executors: &[0],
        matrix: false,
        backends: &["local"],
        window: Window::Time(Duration::from_secs(60)),
        layout: Layout::Star,
        slot: Consensus::DEFAULT.slot,
        active_slot_coeff: Consensus::DEFAULT.active_slot_coeff,
        security_param: Consensus::DEFAULT.security_param,
        topology: None,
        seed: None,
        timeout: None,
        should_fail: None,
        tags: &[],
    };
}

inventory::collect!(CaseDef);

/// One scenario function on one backend with one choice of its value lists: one cargo test.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) def: &'static CaseDef,
    pub(crate) backend: &'static str,
    pub(crate) validators: usize,
    pub(crate) executors: usize,
}

impl Case {
    /// All registered cases, sorted by name. `main_crate` is left out of the names of its own cases.
    pub(crate) fn all(main_crate: &str) -> Vec<(String, Self)> {
        let mut cases: Vec<_> = inventory::iter::<CaseDef>()
            .flat_map(Self::of)
            .map(|case| (case.name(main_crate), case))
            .collect();
        cases.sort_by(|(one, _), (other, _)| one.cmp(other));
        cases
    }

    fn of(def: &'static CaseDef) -> Vec<Self> {
        let args = &def.args;
        let mut cases = Vec::new();
        for backend in args.backends {
            for &validators in args.validators {
                for &executors in args.executors {
                    cases.push(Self { def, backend, validators, executors });
                }
            }
        }
        cases
    }

    /// `<module path without the crate>::<fn>`: what an IDE calls the function.
    pub(crate) fn base_name(&self, main_crate: &str) -> String {
        let module = self.def.module;
        let inner = module.strip_prefix(main_crate).filter(|rest| rest.is_empty() || rest.starts_with("::"));
        let path = inner.unwrap_or(module).trim_start_matches("::");
        if path.is_empty() { self.def.function.to_owned() } else { format!("{path}::{}", self.def.function) }
    }

    fn name(&self, main_crate: &str) -> String {
        let base = self.base_name(main_crate);
        let Self { backend, validators, executors, .. } = self;
        match self.def.args.matrix {
            true => format!("{backend}::{base}::v{validators}e{executors}"),
            false => format!("{backend}::{base}"),
        }
    }

    /// Where the function is, for messages.
    pub(crate) fn location(&self) -> String {
        format!("{}:{}:{}", self.def.file, self.def.line, self.def.column)
    }

    pub(crate) fn nodes(&self) -> usize {
        self.validators + self.executors
    }

    /// The scenario before the body adds to it.
    pub(crate) fn scenario(&self, seed: u64) -> Result<Scenario, BuildError> {
        let args = &self.def.args;
        let builder = ScenarioBuilder::topology_with(|topology| {
            let topology = topology
                .validators(self.validators)
                .executors(self.executors)
                .network(args.layout)
                .slot(args.slot)
                .active_slot_coeff(args.active_slot_coeff)
                .security_param(args.security_param);
            match args.topology {
                Some(change) => change(topology),
                None => topology,
            }
        });
        builder.with_window(args.window).with_seed(seed).build_base()
    }

    /// The longest time that body and window may take.
    pub(crate) fn timeout(&self, scenario: &Scenario) -> Duration {
        const BEYOND_WINDOW: Duration = Duration::from_secs(5 * 60);
        let window = scenario.window().at_most(scenario.topology().consensus(), &scenario.growth());
        self.def.args.timeout.unwrap_or(window + BEYOND_WINDOW)
    }
}

/// Cases whose names are taken, each with both places.
pub(crate) fn duplicates(cases: &[(String, Case)]) -> Vec<Problem> {
    let same = cases.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    same.map(|pair| {
        let places = format!("{} and {}", pair[0].1.location(), pair[1].1.location());
        Problem::new(&pair[0].0, format!("two scenarios have this name: {places}"), "rename one of them")
    })
    .collect()
}

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
