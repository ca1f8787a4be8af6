#[scenario(backend = my::deployer())]
async fn f(run: &mut Run) {}
