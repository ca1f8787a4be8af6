#[scenario(slot = "0ms")]
async fn f(run: &mut Run) {}
