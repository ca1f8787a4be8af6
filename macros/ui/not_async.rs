#[scenario]
fn f(run: &mut Run) {}
