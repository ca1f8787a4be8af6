#[scenario(node_control = "yes")]
async fn f(run: &mut Run) {}
