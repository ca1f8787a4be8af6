#[scenario]
async unsafe fn f(run: &mut Run) {}
