use logos_scenario::prelude::*;

#[scenario]
async fn number() -> Option<()> {
    None
}

fn main() {}
