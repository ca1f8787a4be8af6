#[scenario(wallets(funds = 5000))]
async fn f(run: &mut Run) {}
