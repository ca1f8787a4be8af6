#[scenario(backend = My::<Deployer>)]
async fn f(run: &mut Run) {}
