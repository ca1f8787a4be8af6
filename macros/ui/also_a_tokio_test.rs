#[scenario]
#[tokio::test]
async fn f(run: &mut Run) {}
