//! Runs one scenario on pods; `--help` tells how.

use std::process::ExitCode;

use logos_scenario::K8sDeployer;

#[tokio::main]
async fn main() -> ExitCode {
    logos_scenario_tests::run(K8sDeployer::default()).await
}
