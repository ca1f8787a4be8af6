#[scenario(wallets = 0)]
async fn f(run: &mut Run) {}
