#[scenario(validators = [1, 0, 3])]
async fn f(run: &mut Run) {}
