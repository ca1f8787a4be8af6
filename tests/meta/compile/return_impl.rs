use logos_scenario::prelude::*;

#[scenario]
async fn hidden(_: &mut Run) -> impl Sized {}

fn main() {}
