use logos_scenario::prelude::*;

#[scenario]
async fn drives(run: &mut Run) {
    run.drive().await
}

fn main() {}
