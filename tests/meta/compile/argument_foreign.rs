use logos_scenario::prelude::*;

#[scenario]
async fn counts(_: &mut u64) -> Result {
    Ok(())
}

fn main() {}
