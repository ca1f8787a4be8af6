#[scenario(cluster = "shared", faults, node_control, should_fail = "lost")]
async fn f(run: &mut Run) {}
