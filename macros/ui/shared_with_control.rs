#[scenario(node_control, cluster = "shared")]
async fn f(run: &mut Run) {}
