#[scenario]
#[ignore(why)]
async fn f(run: &mut Run) {}
