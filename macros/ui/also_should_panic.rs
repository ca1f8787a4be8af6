#[scenario]
#[should_panic]
async fn f(run: &mut Run) {}
