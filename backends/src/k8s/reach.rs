//! How nodes are reached from here: each TCP port of a node gets a listener on the loopback address, and each
//! connection to it a port-forward of its own, since one forward carries one stream of bytes. A forward that breaks
//! off is one connection that does; the next one gets a new forward, also to a new pod.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, Client};
use logos_scenario_runtime::deployer::{ClusterDescription, DeployError};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::engine::refused;
use super::render::{self, Ports};
use crate::env::NODE_HOST;

/// How long a machine of the cluster may take to answer, if only to refuse a connection.
const MACHINE: Duration = Duration::from_secs(10);

/// Where nodes are reached; dropping it ends what listens.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// `host:port` by node and by the port's number in the pod.
    addresses: BTreeMap<String, BTreeMap<u16, String>>,
    listeners: JoinSet<()>,
}

impl Reach {
    /// Listeners on the loopback address for these ports of nodes.
    pub(super) async fn by_forward(
        client: &Client,
        cluster: &str,
        ports: &Ports,
    ) -> Result<Self, DeployError> {
        let opened = Self::listening(client, cluster, ports).await;
        opened.map_err(|error| {
            DeployError::new(
                "loopback address",
                format!("no port could be opened there: {error}"),
                "see whether this process has too many files open",
            )
        })
    }

    async fn listening(client: &Client, cluster: &str, ports: &Ports) -> io::Result<Self> {
        let mut reach = Self::default();
        for (node, ports) in ports {
            for &inner in ports {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let address = listener.local_addr()?.to_string();
                reach.addresses.entry(node.clone()).or_default().insert(inner, address);
                let pods = Api::namespaced(client.clone(), cluster);
                reach.listeners.spawn(forward_all(listener, pods, render::pod(node), inner));
            }
        }
        Ok(reach)
    }

    /// The ports that the cluster's machines open for nodes, at the address of one of them.
    pub(super) async fn by_node_port(
        client: &Client,
        cluster: &str,
        ports: &Ports,
        host: &str,
    ) -> Result<Self, DeployError> {
        let services: Api<Service> = Api::namespaced(client.clone(), cluster);
        let mut reach = Self::default();
        for node in ports.keys() {
            let service = services.get(node).await;
            let service = service.map_err(|error| refused(node, "its Service cannot be read", &error))?;
            let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
            let addresses = ports.iter().filter_map(|port| {
                Some((u16::try_from(port.port).ok()?, format!("{host}:{}", port.node_port?)))
            });
            reach.addresses.insert(node.clone(), addresses.collect());
        }
        reach.machine_answers(host).await?;
        Ok(reach)
    }

    /// Whether there is a machine; whether its nodes listen yet is not asked.
    async fn machine_answers(&self, host: &str) -> Result<(), DeployError> {
        let Some(address) = self.addresses.values().flat_map(BTreeMap::values).next() else { return Ok(()) };
        let why = match tokio::time::timeout(MACHINE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer from {address} within {} s", MACHINE.as_secs()),
        };
        Err(DeployError::new(
            NODE_HOST,
            format!("`{host}` is no machine of the cluster that can be reached from here: {why}"),
            "let it be the address of one, as `kubectl get nodes -o wide` lists them, or unset it to reach nodes by \
             port-forward",
        ))
    }

    /// The address that answers here for a port in a node's pod.
    pub(super) fn address(&self, node: &str, inner: u16) -> Option<&String> {
        self.addresses.get(node)?.get(&inner)
    }

    /// The description with the addresses that answer here.
    pub(super) fn described(&self, mut description: ClusterDescription) -> ClusterDescription {
        for node in &mut description.nodes {
            for address in node.addresses.values_mut() {
                let inner = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
                if let Some(reached) = inner.and_then(|inner| self.address(&node.name, inner)) {
                    address.clone_from(reached);
                }
            }
        }
        description
    }
}

/// Leads every connection through a forward of its own.
async fn forward_all(listener: TcpListener, pods: Api<Pod>, pod: String, inner: u16) {
    let mut connections = JoinSet::new();
    while let Ok((from, _)) = listener.accept().await {
        let (pods, pod) = (pods.clone(), pod.clone());
        // A node that does not run is one that closes connections; either side may end one at any time.
        connections.spawn(async move {
            let _ = forward(from, &pods, &pod, inner).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(mut from: TcpStream, pods: &Api<Pod>, pod: &str, inner: u16) -> Option<()> {
    from.set_nodelay(true).ok()?;
    let mut forward = pods.portforward(pod, &[inner]).await.ok()?;
    let mut to = forward.take_stream(inner)?;
    let broken = forward.take_error(inner)?;
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
        Some(_) = broken => {}
    }
    Some(())
}
