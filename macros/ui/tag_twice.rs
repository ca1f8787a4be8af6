#[scenario(tags = ["smoke", "smoke"])]
async fn f(run: &mut Run) {}
