#[scenario]
async extern "C" fn f(run: &mut Run) {}
