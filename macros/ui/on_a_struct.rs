#[scenario(validators = 3)]
struct Scenario;
