#[scenario(duration = "soon")]
async fn f(run: &mut Run) {}
