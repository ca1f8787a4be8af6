/// Is documented.
#[cfg(unix)]
#[scenario(
    duration = "30 blocks",
    layout = "chain",
    slot = "500ms",
    active_slot_coeff = 1,
    security_param = 5,
    topology = faulty::nodes,
    backend = ["compose", my::Deployer],
    wallets(users = 50, funds = 5000),
    cluster = "exclusive",
    node_control,
    faults,
    until = "satisfied",
    seed = 7,
    timeout = "1m30s",
    tags = ["smoke", "slow"],
    should_fail = "no block for",
    crate = my::scenario
)]
#[ignore = "takes long"]
pub(super) async fn r#type(r#run: &mut Run) -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
