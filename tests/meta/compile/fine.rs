//! rustc: --cfg test
#![deny(warnings)]
use logos_scenario::fake::FakeProgram;
use logos_scenario::prelude::*;

#[scenario]
async fn with_nothing() {}

#[scenario]
async fn with_a_result(run: &mut Run) -> Result {
    run.drive().await
}

#[scenario]
async fn with_another_result(_: &mut Run) -> std::result::Result<(), String> {
    Ok(())
}

#[scenario]
async fn with_an_exit_code(_: &mut Run) -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}

logos_scenario::main!(program = FakeProgram);
