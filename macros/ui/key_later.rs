#[scenario(node_control)]
async fn f(run: &mut Run) {}
