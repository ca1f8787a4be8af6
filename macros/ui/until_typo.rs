#[scenario(until = "satisfy")]
async fn f(run: &mut Run) {}
