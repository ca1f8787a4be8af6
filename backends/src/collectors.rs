//! Lets nodes that are not processes of this machine reach a collector that listens on its loopback address.
//!
//! `127.0.0.1` in an endpoint means this machine for whoever gives it, and the container for a node in one. So nodes are
//! told an address of this machine that they can reach, and what comes in there is carried to the collector, for as long as
//! the cluster lives. Other addresses are handed on as they are.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use logos_scenario_runtime::deployer::DeployError;
use logos_scenario_runtime::faults::Link;
use logos_scenario_runtime::plan::{Plan, Protocol};
use url::{Host, Url};

use crate::env::{COLLECTORS, Settings};
use crate::relay::{Relay, Way};

/// How nodes reach this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Here {
    /// By this address of it, where something can listen.
    At(IpAddr),
    /// By a name that leads to its loopback address already.
    #[cfg(feature = "compose")]
    Named(&'static str),
    /// Not at all.
    #[cfg(feature = "k8s")]
    Nowhere,
}

/// A plan whose nodes are told where they reach collectors, and what carries what they send.
pub(crate) async fn reachable(
    plan: &Plan,
    settings: &Settings,
    here: impl AsyncFnOnce() -> Result<Here, DeployError>,
) -> Result<(Plan, Option<Relay>), DeployError> {
    let wanted = on_loopback(plan, settings);
    if wanted.is_empty() {
        return Ok((plan.clone(), None));
    }
    let (hosts, carrier) = match here().await? {
        #[cfg(feature = "compose")]
        Here::Named(name) => {
            let named = |there: &String| {
                let port = there.rsplit_once(':').map_or("", |(_, port)| port);
                (there.clone(), format!("{name}:{port}"))
            };
            (wanted.keys().map(named).collect(), None)
        }
        Here::At(address) => {
            let (carrier, at) = carried(wanted.keys(), address).await?;
            (wanted.keys().cloned().zip(at.iter().map(SocketAddr::to_string)).collect(), Some(carrier))
        }
        #[cfg(feature = "k8s")]
        Here::Nowhere => return Err(unreachable(&wanted)),
    };
    Ok((told(plan, settings, &hosts), carrier))
}

/// The collectors on loopback addresses that nodes are to be told, as `host:port`, with the variables that name them.
fn on_loopback(plan: &Plan, settings: &Settings) -> BTreeMap<String, String> {
    let nodes = plan.nodes.iter().flat_map(|node| &node.env);
    let given = settings.handed.iter().map(|(name, value)| (*name, value));
    let all = given.chain(nodes.map(|(name, value)| (name.as_str(), value)));
    let collectors = all.filter(|(name, _)| COLLECTORS.contains(name));
    collectors.filter_map(|(name, value)| Some((loopback(value)?.1, name.to_owned()))).collect()
}

/// A URL on a loopback address, with that as `host:port`.
fn loopback(text: &str) -> Option<(Url, String)> {
    let url = Url::parse(text).ok()?;
    let host = url.host()?;
    let is_loopback = match &host {
        Host::Ipv4(address) => address.is_loopback() || address.is_unspecified(),
        Host::Ipv6(address) => address.is_loopback() || address.is_unspecified(),
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
    };
    let there = format!("{host}:{}", url.port_or_known_default()?);
    is_loopback.then_some((url, there))
}

/// The plan where every such URL has another host.
fn told(plan: &Plan, settings: &Settings, hosts: &BTreeMap<String, String>) -> Plan {
    let mut plan = plan.clone();
    let moved = |text: &str| {
        let (mut url, there) = loopback(text)?;
        let (host, port) = hosts.get(&there)?.rsplit_once(':')?;
        url.set_host(Some(host)).ok()?;
        url.set_port(port.parse().ok()).ok()?;
        Some(url.to_string())
    };
    for node in &mut plan.nodes {
        for name in COLLECTORS {
            let value = node.env.get(*name).or_else(|| settings.handed.get(name));
            if let Some(value) = value.and_then(|value| moved(value)) {
                node.env.insert((*name).to_owned(), value);
            }
        }
    }
    plan
}

/// Carries what comes in at an address to each of these; also where, in their order.
async fn carried(
    there: impl Iterator<Item = &String>,
    at: IpAddr,
) -> Result<(Relay, Vec<SocketAddr>), DeployError> {
    let way = |to: &String| Way {
        link: Link::new("nodes", to.clone()),
        protocol: Protocol::Tcp,
        at: (at, 0).into(),
        to: to.clone(),
    };
    let ways: Vec<_> = there.map(way).collect();
    Relay::open(&ways).await.map_err(|error| {
        DeployError::new(
            "collector",
            format!("nothing can listen at {at} for what nodes send to it: {error}"),
            "give the collector an address that the nodes reach, in place of a loopback address",
        )
    })
}

#[cfg(feature = "k8s")]
fn unreachable(wanted: &BTreeMap<String, String>) -> DeployError {
    let (there, name) = wanted.first_key_value().expect("one is wanted");
    DeployError::new(
        name.clone(),
        format!(
            "{there} is this machine's own, and no machine of the Kubernetes cluster has an address here"
        ),
        format!(
            "let the collector listen on all addresses, and give {name} one that pods reach: of a service in the cluster, \
             or of this machine in the cluster's network, such as the gateway of kind's"
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::planned::tests::two_nodes;

    const INGEST: &str = "NOMOS_METRICS_OTLP_INGEST_URL";

    fn settings(endpoint: &str) -> Settings {
        Settings { handed: [("NOMOS_OTLP_ENDPOINT", endpoint.to_owned())].into(), ..Settings::default() }
    }

    #[tokio::test]
    async fn a_loopback_collector_is_reached_at_another_address() {
        let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = collector.local_addr().unwrap().port();
        let plan = two_nodes(|name| match name {
            "executor-0" => json!({ "env": { INGEST: format!("http://localhost:{port}/api/v1/otlp") } }),
            _ => json!({}),
        });
        let here = async || Ok(Here::At("127.78.2.1".parse().unwrap()));
        let settings = settings(&format!("http://127.0.0.1:{port}"));
        let (plan, _carrier) = reachable(&plan, &settings, here).await.unwrap();
        let of = |node: usize, name: &str| Url::parse(&plan.nodes[node].env[name]).unwrap();
        for (url, path) in [
            (of(0, "NOMOS_OTLP_ENDPOINT"), "/"),
            (of(1, "NOMOS_OTLP_ENDPOINT"), "/"),
            (of(1, INGEST), "/api/v1/otlp"),
        ] {
            assert_eq!((url.host_str(), url.path()), (Some("127.78.2.1"), path));
            let mut node = TcpStream::connect(("127.78.2.1", url.port().unwrap())).await.unwrap();
            node.write_all(b"spans").await.unwrap();
            let (mut taken, _) = collector.accept().await.unwrap();
            let mut said = [0; 5];
            taken.read_exact(&mut said).await.unwrap();
            assert_eq!(&said, b"spans");
        }
        assert!(!plan.nodes[0].env.contains_key(INGEST));
    }

    #[tokio::test]
    async fn other_addresses_are_handed_on_as_they_are() {
        let here = async || panic!("nobody has to know where this machine is");
        for given in ["http://10.0.0.7:4318", "http://collector:4318/v1", "grpc collector"] {
            let plan = two_nodes(|_| json!({}));
            let (told, carrier) = reachable(&plan, &settings(given), here).await.unwrap();
            assert_eq!((told, carrier.is_none()), (plan, true));
        }
    }

    #[cfg(feature = "compose")]
    #[tokio::test]
    async fn an_engine_in_a_virtual_machine_knows_a_name() {
        let here = async || Ok(Here::Named("host.docker.internal"));
        let plan = two_nodes(|_| json!({}));
        let (told, _) = reachable(&plan, &settings("http://127.0.0.1:4318/x"), here).await.unwrap();
        assert_eq!(told.nodes[0].env["NOMOS_OTLP_ENDPOINT"], "http://host.docker.internal:4318/x");
    }

    #[cfg(feature = "k8s")]
    #[tokio::test]
    async fn a_cluster_elsewhere_is_told_of() {
        let here = async || Ok(Here::Nowhere);
        let plan = two_nodes(|_| json!({}));
        let error = reachable(&plan, &settings("http://127.0.0.1:4318"), here).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("NOMOS_OTLP_ENDPOINT") && text.contains("127.0.0.1:4318 is this machine's own"),
            "{text}"
        );
    }
}
