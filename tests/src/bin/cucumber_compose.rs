//! Runs feature files on containers; `--help` tells how.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    logos_scenario_tests::gherkin::main("compose").await
}
