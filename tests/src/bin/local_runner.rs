//! Runs one scenario on local processes; `--help` tells how.

use std::process::ExitCode;

use logos_scenario::LocalDeployer;

#[tokio::main]
async fn main() -> ExitCode {
    logos_scenario_tests::run(LocalDeployer::default()).await
}
