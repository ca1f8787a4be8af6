#[scenario(wallets(users = 50 funds = 5000))]
async fn f(run: &mut Run) {}
