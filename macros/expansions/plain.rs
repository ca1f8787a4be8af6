#[scenario(validators = 3, executors = 2, backend = "compose", duration = "90s")]
async fn transactions_are_included(run: &mut Run) -> Result {
    run.drive().await
}
