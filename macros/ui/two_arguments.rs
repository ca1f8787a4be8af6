#[scenario]
async fn f(run: &mut Run, other: u32) {}
