#[scenario(faults(all))]
async fn f(run: &mut Run) {}
