#[scenario(wallets(users = 50, users = 60))]
async fn f(run: &mut Run) {}
