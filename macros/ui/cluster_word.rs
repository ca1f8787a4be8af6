#[scenario(cluster = shared)]
async fn f(run: &mut Run) {}
