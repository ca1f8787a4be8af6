#[scenario]
async fn f(self) {}
