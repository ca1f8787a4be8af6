#[scenario]
async fn f<T>(run: &mut Run) {}
