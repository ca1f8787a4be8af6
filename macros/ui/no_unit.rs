#[scenario(duration = "90")]
async fn f(run: &mut Run) {}
