#[scenario(layout = "torus")]
async fn f(run: &mut Run) {}
