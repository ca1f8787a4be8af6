#[scenario(duration = "0s")]
async fn f(run: &mut Run) {}
