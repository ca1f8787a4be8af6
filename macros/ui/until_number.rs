#[scenario(until = 3)]
async fn f(run: &mut Run) {}
