//! How nodes are reached where their own addresses do not answer on this machine, since the engine runs in a
//! virtual machine: by ports that the engine publishes on the loopback address.
//!
//! The engine chooses other numbers at every start of a container, so each port gets a listener that stays, and
//! leads to whatever number is published at that moment.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

use bollard::Docker;
use bollard::query_parameters::InspectContainerOptions;
use logos_scenario_runtime::deployer::DeployError;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::labels::Project;
use super::model::Compose;
use super::render::{self, Subnets};
use super::request;

/// Listeners that lead to published ports; dropping it ends them.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// The port of each listener, by node and by the port's number in the container.
    pub(super) ports: BTreeMap<String, BTreeMap<u16, u16>>,
    listeners: JoinSet<()>,
}

impl Reach {
    /// A listener for every published port of a file's services.
    pub(super) async fn open(
        docker: &Docker,
        project: &Project,
        file: &Compose,
    ) -> Result<Self, DeployError> {
        let opened = Self::listening(docker, project, file).await;
        opened.map_err(|error| {
            DeployError::new(
                "loopback address",
                format!("no port could be opened there: {error}"),
                "see whether this process has too many files open",
            )
        })
    }

    async fn listening(docker: &Docker, project: &Project, file: &Compose) -> io::Result<Self> {
        let mut reach = Self::default();
        for (name, service) in &file.services {
            for (_, inner) in service.ports.iter().filter_map(|port| request::loopback_port(port)) {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let port = listener.local_addr()?.port();
                reach.ports.entry(name.clone()).or_default().insert(inner, port);
                reach.listeners.spawn(lead(listener, docker.clone(), project.container(name), inner));
            }
        }
        Ok(reach)
    }
}

/// Whether the bridge of a network is on this machine: then so are the nodes' addresses.
pub(super) fn is_here(subnets: &Subnets) -> bool {
    std::net::TcpListener::bind((render::gateway(subnets.control), 0)).is_ok()
}

/// Leads every connection to the port that is published now.
async fn lead(listener: TcpListener, docker: Docker, container: String, inner: u16) {
    let mut connections = JoinSet::new();
    while let Ok((mut from, _)) = listener.accept().await {
        let (docker, container) = (docker.clone(), container.clone());
        connections.spawn(async move {
            // A node that does not run is one that refuses connections.
            let Some(port) = published(&docker, &container, inner).await else { return };
            let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
            // Either side may end it at any time.
            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn published(docker: &Docker, container: &str, inner: u16) -> Option<u16> {
    let seen = docker.inspect_container(container, None::<InspectContainerOptions>).await.ok()?;
    let ports = seen.network_settings?.ports?;
    let bindings = ports.get(&format!("{inner}/tcp"))?.as_ref()?;
    bindings.first()?.host_port.as_ref()?.parse().ok()
}
