#[scenario(colour = "red")]
async fn f(run: &mut Run) {}
