#[scenario(validators = 3x)]
async fn f(run: &mut Run) {}
