#[scenario(cluster = "shared", faults = true)]
async fn f(run: &mut Run) {}
