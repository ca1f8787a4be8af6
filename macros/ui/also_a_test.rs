#[scenario]
#[test]
async fn f(run: &mut Run) {}
