#[scenario(seed = 1,, bakend = "local")]
async fn f(run: &mut Run) {}
