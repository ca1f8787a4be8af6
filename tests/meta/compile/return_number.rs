use logos_scenario::prelude::*;

#[scenario]
async fn number(_: &mut Run) -> u32 {
    7
}

fn main() {}
