#[scenario(wallets = "many")]
async fn f(run: &mut Run) {}
