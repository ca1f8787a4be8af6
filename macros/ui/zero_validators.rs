#[scenario(validators = 0)]
async fn f(run: &mut Run) {}
