#[scenario(validators = "3")]
async fn f(run: &mut Run) {}
