#[scenario(backend = MyDeployer)]
async fn f(run: &mut Run) {}
