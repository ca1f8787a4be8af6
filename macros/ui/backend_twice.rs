#[scenario(backend = ["local", "local"])]
async fn f(run: &mut Run) {}
