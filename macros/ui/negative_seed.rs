#[scenario(seed = -7)]
async fn f(run: &mut Run) {}
