use logos_scenario::prelude::*;

#[scenario]
async fn looks(_: &Run) {}

fn main() {}
