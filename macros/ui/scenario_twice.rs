#[scenario(validators = 2)]
#[scenario(executors = 2)]
async fn f(run: &mut Run) {}
