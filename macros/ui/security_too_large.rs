#[scenario(security_param = 5000000000)]
async fn f(run: &mut Run) {}
