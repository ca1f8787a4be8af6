#[scenario(backend = "compos")]
async fn f(run: &mut Run) {}
