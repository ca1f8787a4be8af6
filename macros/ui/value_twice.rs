#[scenario(executors = [2, 2])]
async fn f(run: &mut Run) {}
