//! Runs feature files on pods; `--help` tells how.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    logos_scenario_tests::gherkin::main("k8s").await
}
