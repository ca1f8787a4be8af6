#[scenario(active_slot_coeff = 0.0)]
async fn f(run: &mut Run) {}
