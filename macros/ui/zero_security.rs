#[scenario(security_param = 0)]
async fn f(run: &mut Run) {}
