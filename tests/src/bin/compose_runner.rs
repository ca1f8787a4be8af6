//! Runs one scenario on containers; `--help` tells how.

use std::process::ExitCode;

use logos_scenario::ComposeDeployer;

#[tokio::main]
async fn main() -> ExitCode {
    logos_scenario_tests::run(ComposeDeployer::default()).await
}
