//! What the attribute registers, and the cases that come of it: one per backend and choice of values.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::deployer::{Backend, Capabilities, Deployer};
use crate::failure::Problem;
use crate::run::Run;
use crate::scenario::{BuildError, Scenario, ScenarioBuilder, Until, Window};
use crate::topology::{Consensus, Layout, TopologyBuilder};

mod body;
pub(crate) use body::told;
pub use body::{Body, BodyFuture, ScenarioResult, WithRun, WithoutRun, call, outcome};

/// One `#[scenario]` function, as the attribute registers it.
#[derive(Debug)]
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
    /// Backends, one case each.
    pub backends: &'static [CaseBackend],
    /// For how long the chain is watched.
    pub window: Window,
    /// Who dials whom.
    pub layout: Layout,
    /// Accounts that the scenario is sure to get.
    pub wallets: Option<Wallets>,
    /// How long a slot lasts.
    pub slot: Duration,
    /// The probability that a slot has a leader.
    pub active_slot_coeff: f64,
    /// The depth at which a block is final.
    pub security_param: u32,
    /// Changes the topology after all else is set.
    pub topology: Option<fn(TopologyBuilder) -> TopologyBuilder>,
    /// Who may use the cluster besides, where that is written.
    pub sharing: Option<Sharing>,
    /// Whether the scenario may stop, kill, pause and restart nodes.
    pub node_control: bool,
    /// Whether the scenario may disturb the network.
    pub faults: bool,
    /// Drives everything random.
    pub seed: Option<u64>,
    /// The longest time for body and window.
    pub timeout: Option<Duration>,
    /// When the run ends.
    pub until: Until,
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
        backends: &[CaseBackend::Named("local")],
        window: Window::Time(Duration::from_secs(60)),
        layout: Layout::Star,
        wallets: None,
        slot: Consensus::DEFAULT.slot,
        active_slot_coeff: Consensus::DEFAULT.active_slot_coeff,
        security_param: Consensus::DEFAULT.security_param,
        topology: None,
        sharing: None,
        node_control: false,
        faults: false,
        seed: None,
        timeout: None,
        until: Until::Window,
        should_fail: None,
        tags: &[],
    };

    /// Who may use the cluster besides: by default, who would not notice.
    #[must_use]
    pub const fn sharing(&self) -> Sharing {
        match self.sharing {
            Some(sharing) => sharing,
            None if self.should_fail.is_some() => Sharing::Fresh,
            None if self.node_control || self.faults => Sharing::Exclusive,
            None => Sharing::Shared,
        }
    }
}

/// A backend, as the attribute names it.
#[derive(Clone, Copy, Debug)]
pub enum CaseBackend {
    /// One of those that `main!` lists.
    Named(&'static str),
    /// A deployer of the user's.
    Own(fn() -> Backend),
}

/// Accounts that a scenario is sure to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wallets {
    /// How many.
    pub users: usize,
    /// Units in all of them; 100 each where it is not said.
    pub funds: Option<u64>,
}

/// Who may use a cluster besides one scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Others, at the same time.
    Shared,
    /// Others, before and after.
    Exclusive,
    /// Nobody, ever.
    Fresh,
}

/// What `backend = path` may name: a [`Deployer`], or a function that returns one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no backend",
    label = "must be a `Deployer`, or a function without argument that returns one"
)]
pub trait OwnBackend<Marker> {
    /// The backend.
    fn backend(self) -> Backend;
}

/// Marks a deployer.
#[derive(Debug)]
pub struct Itself;
/// Marks a function that returns a deployer.
#[derive(Debug)]
pub struct Made<D>(std::marker::PhantomData<D>);

impl<D: Deployer> OwnBackend<Itself> for D {
    fn backend(self) -> Backend {
        Backend::new(self)
    }
}

impl<D: Deployer, F: FnOnce() -> D> OwnBackend<Made<D>> for F {
    fn backend(self) -> Backend {
        Backend::new(self())
    }
}

/// The backend of a path; what the attribute's expansion calls.
pub fn own_backend<Marker, Named: OwnBackend<Marker>>(named: Named) -> Backend {
    named.backend().at(std::any::type_name::<Named>())
}

inventory::collect!(CaseDef);

/// One scenario function on one backend with one choice of its value lists: one cargo test.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) def: &'static CaseDef,
    pub(crate) backend: Backend,
    pub(crate) validators: usize,
    pub(crate) executors: usize,
}

impl Case {
    /// All cases of the registered functions, and what is wrong with each of them. The order is that of
    /// their names. `main_crate` is left out of the names of its own cases.
    pub(crate) fn all(main_crate: &str, backends: &[Backend]) -> (Vec<(String, Self)>, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut cases = Vec::new();
        for def in inventory::iter::<CaseDef>() {
            for backend in def.args.backends {
                match backend.among(backends) {
                    Ok(backend) => cases.extend(Self::of(def, &backend)),
                    Err(name) => problems.push(unknown_backend(def, name, backends)),
                }
            }
        }
        let mut cases: Vec<_> = cases.into_iter().map(|case| (case.name(main_crate), case)).collect();
        cases.sort_by(|(one, _), (other, _)| one.cmp(other));
        problems.sort_by(|one, other| one.place().cmp(other.place()));
        (cases, problems)
    }

    fn of(def: &'static CaseDef, backend: &Backend) -> Vec<Self> {
        let mut cases = Vec::new();
        for &validators in def.args.validators {
            for &executors in def.args.executors {
                cases.push(Self { def, backend: backend.clone(), validators, executors });
            }
        }
        cases
    }

    /// `<module path without the crate>::<fn>`: what an IDE calls the function.
    pub(crate) fn base_name(&self, main_crate: &str) -> String {
        path(main_crate, self.def.module, self.def.function)
    }

    /// What the scenario declares that it needs and its backend lacks.
    pub(crate) fn lacking(&self) -> Vec<&'static str> {
        let CaseArgs { node_control, faults, .. } = self.def.args;
        let needs = Capabilities { node_control, network_faults: faults, ..Capabilities::default() };
        self.backend.deployer().capabilities().lacking(&needs)
    }

    fn name(&self, main_crate: &str) -> String {
        let base = self.base_name(main_crate);
        let Self { validators, executors, .. } = self;
        let backend = self.backend.name();
        match self.def.args.matrix {
            true => format!("{backend}::{base}::v{validators}e{executors}"),
            false => format!("{backend}::{base}"),
        }
    }

    /// Where the function is, for messages.
    pub(crate) fn location(&self) -> String {
        self.def.location()
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
        let mut builder = builder.with_window(args.window).with_until(args.until).with_seed(seed);
        builder = match args.wallets {
            None => builder,
            Some(Wallets { users, funds: None }) => builder.wallets(users),
            Some(Wallets { users, funds: Some(funds) }) => builder.with_wallet_config(funds, users),
        };
        if args.node_control {
            builder = builder.enable_node_control();
        }
        if args.faults {
            builder = builder.enable_faults();
        }
        builder.build_base()
    }

    /// For how long it watches the chain at most; a case that cannot be built takes no time.
    pub(crate) fn length(&self) -> Duration {
        let window = |scenario: Scenario| {
            scenario.window().at_most(scenario.topology().consensus(), &scenario.growth())
        };
        self.scenario(0).map_or(Duration::ZERO, window)
    }

    /// The longest time that body and window may take.
    pub(crate) fn timeout(&self, scenario: &Scenario) -> Duration {
        const BEYOND_WINDOW: Duration = Duration::from_secs(5 * 60);
        let window = scenario.window().at_most(scenario.topology().consensus(), &scenario.growth());
        self.def.args.timeout.unwrap_or(window + BEYOND_WINDOW)
    }
}

/// `<module path without the main crate>::<fn>`.
pub(crate) fn path(main_crate: &str, module: &str, function: &str) -> String {
    let inner = module.strip_prefix(main_crate).filter(|rest| rest.is_empty() || rest.starts_with("::"));
    let path = inner.unwrap_or(module).trim_start_matches("::");
    if path.is_empty() { function.to_owned() } else { format!("{path}::{function}") }
}

impl CaseBackend {
    /// The deployer that the scenario names by itself.
    pub(crate) fn own(&self) -> Option<Backend> {
        match *self {
            Self::Named(_) => None,
            Self::Own(make) => Some(make()),
        }
    }

    /// The backend, or its name if it is none of these.
    fn among(&self, backends: &[Backend]) -> Result<Backend, &'static str> {
        match *self {
            Self::Named(name) => backends.iter().find(|backend| backend.name() == name).cloned().ok_or(name),
            Self::Own(make) => Ok(make()),
        }
    }
}

impl CaseDef {
    fn location(&self) -> String {
        format!("{}:{}:{}", self.file, self.line, self.column)
    }
}

fn unknown_backend(def: &CaseDef, name: &str, backends: &[Backend]) -> Problem {
    let known: Vec<_> = backends.iter().map(Backend::name).collect();
    Problem::new(
        format!("{} ({})", def.function, def.location()),
        format!("this build has no backend `{name}`, only {}", known.join(", ")),
        format!("add the feature `{name}` to the dependency on `logos-scenario`"),
    )
}

/// Cases and tests whose names are taken, each with both places, from their names and places.
pub(crate) fn duplicates<'a>(named: impl Iterator<Item = (&'a String, String)>) -> Vec<Problem> {
    let mut named: Vec<_> = named.collect();
    named.sort();
    let same = named.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    same.map(|pair| {
        let places = format!("{} and {}", pair[0].1, pair[1].1);
        Problem::new(pair[0].0, format!("two functions have this name: {places}"), "rename one of them")
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeDeployer, FakeProgram};

    const ONE: CaseDef = CaseDef {
        function: "twin",
        module: "suite::inner",
        package: "suite",
        file: "tests/one.rs",
        line: 3,
        column: 10,
        ignore: None,
        args: CaseArgs::DEFAULT,
        body: |run| outcome(call(async || (), run)),
    };

    #[test]
    fn only_the_main_crate_is_left_out_of_names() {
        assert_eq!(path("suite", "suite", "pays"), "pays");
        assert_eq!(path("suite", "suite::bank", "pays"), "bank::pays");
        assert_eq!(path("suite", "suite_of_theirs::bank", "pays"), "suite_of_theirs::bank::pays");
    }

    #[test]
    fn a_timeout_is_the_window_and_five_minutes_unless_it_is_given() {
        const SHORT: CaseArgs = CaseArgs { timeout: Some(Duration::from_secs(7)), ..CaseArgs::DEFAULT };
        static DEFS: [CaseDef; 2] = [ONE, CaseDef { args: SHORT, ..ONE }];
        let backend = Backend::new(FakeDeployer::default());
        let scenario = ScenarioBuilder::topology_with(|topology| topology.validators(1))
            .with_program(FakeProgram)
            .with_window(CaseArgs::DEFAULT.window);
        let scenario = scenario.build_base().expect("it is allowed");
        let timeouts =
            DEFS.iter().flat_map(|def| Case::of(def, &backend)).map(|case| case.timeout(&scenario));
        assert_eq!(timeouts.collect::<Vec<_>>(), [360, 7].map(Duration::from_secs));
    }

    #[test]
    fn names_that_are_taken_twice_are_told_with_both_places() {
        static DEFS: [CaseDef; 2] = [ONE, CaseDef { file: "tests/other.rs", line: 7, ..ONE }];
        let backend = Backend::new(FakeDeployer::default().named("local"));
        let cases = DEFS.iter().flat_map(|def| Case::of(def, &backend));
        let cases: Vec<_> = cases.map(|case| (case.name("suite"), case)).collect();
        let named = || cases.iter().map(|(name, case)| (name, case.location()));
        let told: Vec<_> = duplicates(named()).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["local::inner::twin: two functions have this name: tests/one.rs:3:10 and tests/other.rs:7:10; \
              rename one of them"]
        );
        assert_eq!(duplicates(named().take(1)).len(), 0);
    }
}
