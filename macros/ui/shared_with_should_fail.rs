#[scenario(cluster = "shared", should_fail = "lost")]
async fn f(run: &mut Run) {}
