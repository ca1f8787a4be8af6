#[scenario(tags = "smoke")]
async fn f(run: &mut Run) {}
