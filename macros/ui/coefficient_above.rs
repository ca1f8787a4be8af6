#[scenario(active_slot_coeff = 1.5)]
async fn f(run: &mut Run) {}
