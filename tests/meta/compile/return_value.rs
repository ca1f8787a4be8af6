use logos_scenario::prelude::*;

#[scenario]
async fn height(run: &mut Run) -> Result<u64> {
    Ok(run.feed().best_height())
}

fn main() {}
