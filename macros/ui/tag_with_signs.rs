#[scenario(tags = ["a,b", "!slow", "two words", ""])]
async fn f(run: &mut Run) {}
