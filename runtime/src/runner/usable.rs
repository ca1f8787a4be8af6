//! Whether a backend can run a scenario at all.

use crate::deployer::DynDeployer;
use crate::failure::{Failure, FailureClass};
use crate::scenario::Scenario;

/// Asks before anything is made: whether the backend can run here, and can do what the scenario needs.
///
/// # Errors
///
/// What is missing, as an infrastructure failure.
pub(crate) async fn usable(deployer: &dyn DynDeployer, scenario: &Scenario) -> Result<(), Failure> {
    let failure = Failure::new(FailureClass::Infrastructure, "backend");
    deployer.available().await.map_err(|unavailable| {
        let expected = format!("backend `{}` to be usable on this machine", deployer.name());
        failure.clone().expected(expected).seen(unavailable.missing).try_next(unavailable.try_next)
    })?;
    let lacking = deployer.capabilities().lacking(&scenario.needs());
    if lacking.is_empty() {
        return Ok(());
    }
    Err(failure
        .expected(format!("backend `{}` to be capable of {}", deployer.name(), lacking.join(", ")))
        .seen("it is not")
        .try_next("run the scenario on another backend, or leave out what needs it"))
}
