#[scenario(timeout = "5")]
async fn f(run: &mut Run) {}
