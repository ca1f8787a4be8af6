use logos_scenario::prelude::*;

fn rich(stake: u64) -> u64 {
    stake
}

#[scenario(topology = rich)]
async fn grows(_: &mut Run) {}

fn main() {}
