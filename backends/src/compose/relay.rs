//! The container that carries what nodes send each other.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::StartContainerOptions;
use logos_scenario_runtime::deployer::DeployError;

use super::engine::{self, refused};
use super::labels::Project;
use super::model::Service;
use super::reach::Reach;
use super::render::{Subnets, relay_address};
use crate::relay::control::{self, Remote};
use crate::relay::ways::RELAY;

/// What the relay may take until it answers.
const ANSWERS: Duration = Duration::from_secs(60);

/// Makes and starts the container, and waits until the relay answers.
pub(super) async fn start(
    docker: &Docker,
    project: &Project,
    service: &Service,
    subnets: &Subnets,
    reach: &Reach,
) -> Result<Remote, DeployError> {
    let container = engine::create_container(docker, project, RELAY, service).await?;
    let started = docker.start_container(&container, None::<StartContainerOptions>).await;
    started.map_err(|error| refused(RELAY, "it cannot be started", &error))?;
    let published = reach.ports.get(RELAY).and_then(|ports| ports.get(&control::PORT));
    let at: SocketAddr = match published {
        Some(port) => (Ipv4Addr::LOCALHOST, *port).into(),
        None => (relay_address(subnets.control), control::PORT).into(),
    };
    Remote::answering(at.to_string(), ANSWERS, format!("read `docker logs {container}`")).await
}
