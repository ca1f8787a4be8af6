#[logos_scenario::test]
fn number() -> u32 {
    7
}

fn main() {}
