//! Runs feature files on local processes; `--help` tells how.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    logos_scenario_tests::gherkin::main("local").await
}
