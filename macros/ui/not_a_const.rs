#[scenario]
const async fn f() {}
