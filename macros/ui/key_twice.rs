#[scenario(validators = 3, validators = 4)]
async fn f(run: &mut Run) {}
