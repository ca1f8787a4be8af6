//! The relay of a relayed plan, as data: its addresses in the nodes' networks, and its service. Nothing is touched
//! here.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use logos_scenario_runtime::plan::{Plan, RelayBinding};

use super::{CONTROL, Subnets, address};
use crate::compose::model::{Attachment, Service};
use crate::env::Settings;
use crate::relay::{control, ways};

/// The address of the relay in a network.
pub(in crate::compose) fn address_in(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()) + 2)
}

/// Where the relay takes what is for each route: in the network that it shares with the node that dials.
pub(super) fn bindings(plan: &Plan, subnets: &Subnets) -> Vec<RelayBinding> {
    ways::bindings(plan, |node| relay_for(plan, subnets, node).to_string())
}

fn index_of(plan: &Plan, name: &str) -> usize {
    let index = plan.nodes.iter().position(|node| node.name == name);
    index.expect("a route is between nodes of its plan")
}

fn relay_for(plan: &Plan, subnets: &Subnets, node: &str) -> Ipv4Addr {
    address_in(subnets.peer(index_of(plan, node)).1)
}

fn host_of(plan: &Plan, subnets: &Subnets, node: &str) -> Ipv4Addr {
    let index = index_of(plan, node);
    address(subnets.peer(index).1, index)
}

/// The service that carries what the nodes of a plan send each other.
pub(super) fn service(
    base: &Service,
    plan: &Plan,
    subnets: &Subnets,
    settings: &Settings,
    publish: bool,
) -> Service {
    let control = (CONTROL.to_owned(), subnets.control);
    let attachment =
        |(name, subnet): (String, Ipv4Net)| (name, Attachment { ipv4_address: address_in(subnet) });
    let at = |node: &str| relay_for(plan, subnets, node).into();
    let to = |node: &str| host_of(plan, subnets, node).to_string();
    Service {
        image: settings.relay_image.clone(),
        entrypoint: vec![ways::PROGRAM.to_owned()],
        command: vec![ways::argument(plan, at, to)],
        working_dir: "/".to_owned(),
        networks: subnets.peers.iter().cloned().chain([control]).map(attachment).collect(),
        ports: publish.then(|| format!("127.0.0.1::{}", control::PORT)).into_iter().collect(),
        mem_limit: settings.node_memory,
        memswap_limit: settings.node_memory,
        ..base.clone()
    }
}
