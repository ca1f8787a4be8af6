#[scenario(duration = "0 blocks")]
async fn f(run: &mut Run) {}
