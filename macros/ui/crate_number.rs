#[scenario(crate = 3)]
async fn f(run: &mut Run) {}
