use logos_scenario::prelude::*;

struct Mine;

#[scenario(backend = Mine)]
async fn grows(_: &mut Run) {}

fn main() {}
