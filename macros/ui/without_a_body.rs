#[scenario]
async fn f();
