//! The node as processes. This binary is the node itself when its first argument is a file or an option of the
//! node: cargo builds no program for the tests of this package.

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod cluster;
mod consensus;
mod faults;
mod http;
mod process;
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
    let trials =
        [consensus::trials(), faults::trials(), http::trials(), process::trials(), storage::trials()];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}

/// One case, on a runtime of its own.
fn trial<F: Future<Output = ()>>(name: &str, case: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(case());
        Ok(())
    })
}
