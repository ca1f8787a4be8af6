#[scenario(wallets(users = 50, funds = 49))]
async fn f(run: &mut Run) {}
