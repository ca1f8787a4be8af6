#[scenario(validators = 3 executors = 2, bakend = "local")]
async fn f(run: &mut Run) {}
