#[scenario(validators = [])]
async fn f(run: &mut Run) {}
