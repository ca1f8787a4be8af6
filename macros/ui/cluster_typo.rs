#[scenario(cluster = "shard")]
async fn f(run: &mut Run) {}
