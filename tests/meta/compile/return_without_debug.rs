use logos_scenario::prelude::*;

#[scenario]
async fn silent(_: &mut Run) -> std::result::Result<(), Silent> {
    Err(Silent)
}

struct Silent;

fn main() {}
