#[scenario(layout = "stra")]
async fn f(run: &mut Run) {}
