#[scenario(backend = [my::Deployer, "local", my::Deployer])]
async fn f(run: &mut Run) {}
