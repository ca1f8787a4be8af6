//! Scenarios on clusters of real blockchain nodes, run as ordinary cargo tests.
//!
//! ```ignore
//! // tests/scenarios.rs, with `harness = false` in its [[test]] section
//! use logos_scenario::prelude::*;
//!
//! #[scenario(validators = 3, executors = 2, duration = "90s")]
//! async fn transactions_are_included(run: &mut Run) -> Result {
//!     run.transactions_with(|tx| tx.rate(5).users(20)).expect_consensus_liveness();
//!     run.drive().await
//! }
//!
//! logos_scenario::main!(program = MyNode);
//! ```
//!
//! `MyNode` is what the framework must know of your node: the [quickstart](guide::quickstart) writes one, and the
//! [`guide`] goes on from there, a chapter for each question.
//!
//! The attribute registers the function; [`main!`] collects all of them, deploys a cluster for each,
//! drives what the body registered, judges what it expects, and reports an ordinary cargo test. The same
//! plan can be built by hand with [`ScenarioBuilder`] and run with a [`Deployer`]:
//!
//! ```no_run
//! use std::time::Duration;
//! use logos_scenario::{Deployer, LocalDeployer, ScenarioBuilder, ScenarioBuilderExt};
//!
//! # async fn by_hand() -> Result<(), Box<dyn std::error::Error>> {
//! let scenario = ScenarioBuilder::topology_with(|t| t.network_star().validators(3).executors(2))
//!     .wallets(50)
//!     .transactions_with(|txs| txs.rate(5).users(20))
//!     .expect_consensus_liveness()
//!     .with_run_duration(Duration::from_secs(90))
//!     .build()?;
//! let runner = LocalDeployer::default().deploy(&scenario).await?;
//! let report = runner.run(&scenario).await?;
//! println!("{report}");
//! runner.teardown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! This crate is the front door: it re-exports the runtime, holds the backends behind features, and lists
//! them once, in [`backends`].

pub use logos_scenario_runtime::*;

#[cfg(any(feature = "compose", feature = "k8s"))]
mod awaited;
#[cfg(any(feature = "compose", feature = "k8s"))]
mod collectors;
#[cfg(feature = "compose")]
mod compose;
#[cfg_attr(
    not(any(feature = "compose", feature = "k8s", feature = "local")),
    allow(dead_code, reason = "where there is no backend, nobody has use for what its settings say")
)]
pub mod env;
pub mod guide;
#[cfg(feature = "k8s")]
mod k8s;
#[cfg(feature = "local")]
mod local;
#[cfg(any(feature = "compose", feature = "k8s", feature = "local"))]
mod logs;
#[cfg(any(feature = "compose", feature = "k8s"))]
mod owner;
#[cfg(any(feature = "compose", feature = "k8s", feature = "local"))]
mod planned;
#[cfg(any(feature = "compose", feature = "k8s", feature = "local", feature = "relay"))]
#[cfg_attr(
    not(any(feature = "local", feature = "relay")),
    allow(dead_code, reason = "where it is a container's program, it is only told from here")
)]
mod relay;
#[cfg(any(feature = "compose", feature = "k8s", feature = "local"))]
mod states;
#[cfg(any(feature = "compose", feature = "k8s", feature = "local"))]
mod thread;
#[cfg(any(feature = "compose", feature = "k8s"))]
mod watcher;
#[cfg(feature = "compose")]
pub use compose::{ComposeCluster, ComposeDeployer};
#[cfg(feature = "k8s")]
pub use k8s::{K8sCluster, K8sDeployer};
#[cfg(feature = "local")]
pub use local::LocalDeployer;
#[cfg(feature = "relay")]
#[doc(hidden)]
pub use relay::program as relay;

/// All backends of this build, in the order in which messages name them.
#[must_use]
pub fn backends() -> Vec<Backend> {
    vec![
        #[cfg(feature = "local")]
        Backend::new(LocalDeployer::default()),
        #[cfg(feature = "compose")]
        Backend::new(ComposeDeployer::default()),
        #[cfg(feature = "k8s")]
        Backend::new(K8sDeployer::default()),
    ]
}

/// All settings, those of the runtime first: the table in the README.
pub fn settings() -> impl Iterator<Item = &'static logos_scenario_runtime::env::Setting> {
    logos_scenario_runtime::env::SETTINGS.iter().chain(env::SETTINGS)
}

/// Makes a test target run its scenarios: the last line of a file whose `[[test]]` section says
/// `harness = false`.
///
/// `program` is the [`NodeProgram`] that all its clusters run. `scenarios` are the libraries whose scenarios run
/// here too: a linker leaves out what nothing mentions, and the program refuses to run without any of them.
///
/// ```ignore
/// logos_scenario::main!(program = MyNode, scenarios = [my_scenarios]);
/// ```
///
/// A target that forgot `harness = false` does not compile. A `#[test]` in a target that has it would never run,
/// of which the compiler warns; [`#[logos_scenario::test]`](test) does run.
///
/// # Under nextest
///
/// Each case is a process, `cargo nextest run local::` chooses as `cargo test local::` does, and so do filtersets:
/// `-E 'test(/^compose::/)'`. The `.config/nextest.toml` of this repository is one to copy:
///
/// - a test group per backend, by its name; no `terminate-after`, since nextest charges a case with its waiting;
/// - a profile `ci` whose JUnit has the text of each failure.
///
/// A retry has a directory of its own, `target/scenario/<run>/<case>/<attempt>`. Cases that are ignored, also for want of
/// their backend, are skipped, and `--run-ignored` runs them; nextest keeps the reasons to itself, and
/// `cargo test -- --list --ignored` tells them. Tests may run from an archive (`cargo nextest archive`,
/// then `run --archive-file`) on a machine without the build: a program given by `env!("CARGO_BIN_EXE_…")` is found
/// where nextest extracted it, and what the runs leave is in the `target` folder beside it.
#[macro_export]
macro_rules! main {
    (program = $program:expr $(, scenarios = [$($library:ident),* $(,)?])? $(,)?) => {
        $($(use $library as _;)*)?

        fn main() -> ::std::process::ExitCode {
            let program = $crate::__private::Program {
                main_crate: ::core::module_path!(),
                libraries: &[$($(::core::stringify!($library)),*)?],
            };
            $crate::__private::harness(program, $program)
        }

        $crate::__private::dropped_tests!($program);

        // Under `harness = true` the `#[test]` below exists and takes the place of the glob's item, so
        // that its panic is a compile error; otherwise the empty one is called.
        mod __scenario_harness {
            pub(super) const fn __scenario_harness_probe() {}
        }
        #[allow(unused_imports, reason = "shadowed where the target has a harness")]
        use __scenario_harness::*;
        #[::core::prelude::v1::test]
        const fn __scenario_harness_probe() {
            panic!("this test target uses `logos_scenario::main!()`: add `harness = false` to its [[test]] section in Cargo.toml")
        }
        const _: () = __scenario_harness_probe();
    };
}

/// What the attribute's expansion and [`main!`] name.
#[doc(hidden)]
pub mod __private {
    pub use logos_scenario_runtime::__private::*;

    /// Runs all scenarios of the program on the backends of this build.
    pub fn harness(program: Program, node: impl crate::NodeProgram) -> std::process::ExitCode {
        match crate::env::check() {
            Ok(()) => logos_scenario_runtime::harness::main(program, node, &crate::backends()),
            Err(problems) => logos_scenario_runtime::harness::refuse(&problems),
        }
    }
}
