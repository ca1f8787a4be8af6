//! The ways through a relay that has an address of its own in a cluster of containers: a port for each route of the
//! plan.

use std::net::IpAddr;

use logos_scenario_runtime::faults::Link;
use logos_scenario_runtime::plan::{Plan, RelayBinding, Route};

use super::Way;

/// What the relay is called among the nodes.
pub(crate) const RELAY: &str = "relay";
/// The relay's program.
pub(crate) const PROGRAM: &str = "logos-scenario-relay";
/// The most nodes that a cluster can have whose relay is told all its ways by one argument.
pub(crate) const MAX_NODES: usize = 40;
/// The relay's ports begin here.
const FIRST: u16 = 20_000;

/// Where the relay takes what is for each route, by the host that it has for the node that dials.
pub(crate) fn bindings(plan: &Plan, host: impl Fn(&str) -> String) -> Vec<RelayBinding> {
    routes(plan).map(|(route, port)| RelayBinding { host: host(&route.from), route, port }).collect()
}

/// The argument of the relay's program: its ways, from where it listens for the node that dials to the host of the one
/// that is dialled.
pub(crate) fn argument(plan: &Plan, at: impl Fn(&str) -> IpAddr, to: impl Fn(&str) -> String) -> String {
    let way = |(route, number): (Route, u16)| {
        let ports = plan.nodes.iter().filter(|node| node.name == route.to).flat_map(|node| &node.ports);
        let port = ports.into_iter().find(|port| port.name == route.port);
        let port = port.expect("a route leads to a planned port").number;
        Way {
            at: (at(&route.from), number).into(),
            to: format!("{}:{port}", to(&route.to)),
            link: Link::new(route.from, route.to),
            protocol: route.protocol,
        }
    };
    let ways: Vec<_> = routes(plan).map(way).collect();
    serde_json::to_string(&ways).expect("ways are plain data")
}

/// The routes of a relayed plan, each with a port of the relay's.
fn routes(plan: &Plan) -> impl Iterator<Item = (Route, u16)> {
    plan.routes().into_iter().zip(FIRST..)
}
