#[scenario(seed = @, executors = -1)]
async fn f(run: &mut Run) {}
