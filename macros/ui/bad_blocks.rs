#[scenario(duration = "many blocks")]
async fn f(run: &mut Run) {}
