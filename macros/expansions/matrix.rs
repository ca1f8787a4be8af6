#[scenario(validators = [1, 3], executors = [0, 2], backend = ["local", "k8s"])]
async fn grows(run: &mut Run) {}
