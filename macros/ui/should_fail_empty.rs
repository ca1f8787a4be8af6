#[scenario(should_fail = "")]
async fn f(run: &mut Run) {}
