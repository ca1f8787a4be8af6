#[scenario(layout = "ring", node_control)]
struct Scenario;
