#[scenario]
async fn f(run: &mut Run) where Run: Send {}
