#[scenario(validatos = 3)]
async fn f(run: &mut Run) {}
