#[scenario]
impl Scenarios {}
