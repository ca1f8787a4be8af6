//! rustc: --test
use logos_scenario::fake::FakeProgram;
use logos_scenario::prelude::*;

#[scenario]
async fn grows(_: &mut Run) {}

logos_scenario::main!(program = FakeProgram);
