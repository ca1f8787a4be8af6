#[scenario(wallets = 50)]
async fn f(run: &mut Run) {}
