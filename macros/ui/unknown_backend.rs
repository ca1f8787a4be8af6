#[scenario(backend = "docker")]
async fn f(run: &mut Run) {}
