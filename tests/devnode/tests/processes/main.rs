//! The node as processes. This binary is the node itself when its first argument is a file or an option of the
//! node: cargo builds no program for the tests of this package.

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod cluster;
mod consensus;
mod data;
mod endurance;
mod faults;
mod hostile;
mod http;
mod partition;
mod process;
mod relay;
mod storage;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let first = std::env::args().nth(1).unwrap_or_default();
    if first.ends_with(".yaml") || ["--check-config", "--version", "--help"].contains(&first.as_str()) {
        return logos_scenario_devnode::main();
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let counts = Counts::read();
    let trials = [
        consensus::trials(),
        data::trials(),
        endurance::trials(&counts),
        faults::trials(),
        hostile::trials(),
        http::trials(),
        partition::trials(),
        process::trials(),
        storage::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}

/// How often the long cases do what they do.
struct Counts {
    /// `DEVNODE_KILLS`: how often a node is killed at a random instant.
    kills: u32,
    /// `DEVNODE_RUNS`: how many clusters of five nodes make 100 blocks under random restarts.
    runs: u32,
    /// `DEVNODE_SEED`: of their choices.
    seed: u64,
}

impl Counts {
    #[expect(clippy::disallowed_methods, reason = "the settings of these tests, read once")]
    fn read() -> Self {
        let count = |name, default| match std::env::var(name) {
            Err(_) => default,
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found `{text}`")),
        };
        Self {
            kills: count("DEVNODE_KILLS", 15),
            runs: count("DEVNODE_RUNS", 1),
            seed: count("DEVNODE_SEED", 1).into(),
        }
    }
}

/// One case, on a runtime of its own.
fn trial<F: Future<Output = ()>>(name: &str, case: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(case());
        Ok(())
    })
}
