#[scenario]
async fn starts() {}
