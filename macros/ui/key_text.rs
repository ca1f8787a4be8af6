#[scenario("validators" = 3, bakend = "local")]
async fn f(run: &mut Run) {}
