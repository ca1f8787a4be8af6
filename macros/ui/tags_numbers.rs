#[scenario(tags = ["smoke", 1])]
async fn f(run: &mut Run) {}
