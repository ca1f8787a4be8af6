#[scenario]
async fn f(run: &mut Run, ...) {}
