#[scenario(backend = [])]
async fn f(run: &mut Run) {}
