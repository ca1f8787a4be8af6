#[scenario(layout = "strat")]
async fn two_letters_off(run: &mut Run) {}
