#[scenario(active_slot_coeff = 0.5f32)]
async fn f(run: &mut Run) {}
