#[scenario(topology)]
async fn f(run: &mut Run) {}
