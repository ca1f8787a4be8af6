//! The ways of a relayed plan: which node reaches which port of another, and where a relay takes what is for it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Binding, Bindings, Plan, PlannedNode, Protocol};
use crate::failure::Problem;

/// A way from one node to a port of another that leads through a relay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// The node that dials.
    pub from: String,
    /// The node that is dialled.
    pub to: String,
    /// What that one calls the port.
    pub port: String,
    /// Transport protocol of the port.
    pub protocol: Protocol,
}

/// Where a relay takes what is for one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayBinding {
    /// The route.
    pub route: Route,
    /// Address or name under which the node that dials reaches the relay.
    pub host: String,
    /// The number of the port there.
    pub port: u16,
}

impl Plan {
    /// The ways that lead through a relay: one for each peer's port that a node is told of. None unless it is relayed.
    #[must_use]
    pub fn routes(&self) -> BTreeSet<Route> {
        self.nodes.iter().filter(|_| self.relayed).flat_map(|node| self.routes_of(node)).collect()
    }

    fn routes_of(&self, from: &PlannedNode) -> Vec<Route> {
        let peer_ports = from.symbols().filter_map(|symbol| symbol.strip_prefix("peer_port:"));
        let route = |(to, port): (&str, &str)| {
            let planned = self.nodes.iter().find(|node| node.name == to)?;
            let protocol = planned.ports.iter().find(|planned| planned.name == port)?.protocol;
            let (from, to, port) = (from.name.clone(), to.to_owned(), port.to_owned());
            Some(Route { from, to, port, protocol })
        };
        peer_ports.filter_map(|peer_port| peer_port.split_once('/')).filter_map(route).collect()
    }

    /// Nodes of a relayed plan that are told another node's own address.
    pub(super) fn leads_around_the_relay(&self, program: &str) -> Option<Problem> {
        let own = |node: &&PlannedNode| {
            let mut hosts = node.symbols().filter_map(|symbol| symbol.strip_prefix("host:"));
            hosts.any(|host| host != node.name)
        };
        let node = self.nodes.iter().filter(|_| self.relayed).find(own)?;
        Some(Problem::new(
            "scenario.faults",
            format!(
                "`{program}` tells {} the own address of another node, which leads around the relay",
                node.name
            ),
            "let `NodeProgram::plan` name peers by `symbol::peer_host` and `symbol::peer_port`",
        ))
    }
}

impl PlannedNode {
    /// What stands between `${` and `}` in its texts.
    fn symbols(&self) -> impl Iterator<Item = &str> {
        let files = self.files.iter().map(|file| &file.text);
        let texts = self.args.iter().chain(self.env.values()).chain(files);
        texts.flat_map(|text| text.split("${").skip(1)).filter_map(|rest| Some(rest.split_once('}')?.0))
    }
}

impl Bindings {
    /// Where a node reaches what a peer calls `port`.
    pub(super) fn peer(&self, node: &str, peer_port: &str) -> Option<(&str, u16)> {
        let (peer, port) = peer_port.split_once('/')?;
        let relay = self.relay.iter().find(|RelayBinding { route, .. }| {
            (route.from.as_str(), route.to.as_str(), route.port.as_str()) == (node, peer, port)
        });
        match relay {
            Some(relay) => Some((&relay.host, relay.port)),
            None => {
                let Binding { host, ports, .. } = self.nodes.get(peer)?;
                Some((host, *ports.get(port)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Genesis, PlannedPort, symbol, tests::bindings};
    use super::*;

    #[test]
    fn a_peer_is_reached_through_the_relay_where_there_is_one() {
        let text = format!("{}:{}", symbol::peer_host("a", "http"), symbol::peer_port("a", "http"));
        assert_eq!(bindings().resolve("b", &text).unwrap(), "127.1.2.10:18080");
        let [from, to, port] = ["b", "a", "http"].map(str::to_owned);
        let route = Route { from, to, port, protocol: Protocol::Tcp };
        let relay = RelayBinding { route, host: "127.1.2.3".to_owned(), port: 40_001 };
        let relayed = Bindings { relay: vec![relay], ..bindings() };
        assert_eq!(relayed.resolve("b", &text).unwrap(), "127.1.2.3:40001");
        assert_eq!(relayed.resolve("c", &text).unwrap(), "127.1.2.10:18080");
    }

    #[test]
    fn routes_are_the_ports_of_peers_that_a_plan_names() {
        let node = |name: &str, args: &[String]| PlannedNode {
            args: args.to_vec(),
            ports: vec![PlannedPort { name: "p2p".into(), protocol: Protocol::Udp, number: 3000 }],
            ..serde_json::from_value(serde_json::json!({
                "name": name, "role": "validator", "executable": { "program": "node", "path": null },
                "args": [], "env": {}, "files": [], "ports": [],
            }))
            .unwrap()
        };
        let text = format!("--peer={}:{}", symbol::peer_host("a", "p2p"), symbol::peer_port("a", "p2p"));
        let mut plan = Plan {
            key: serde_json::from_value("00".repeat(32).into()).unwrap(),
            genesis: Genesis { leaders: Vec::new(), accounts: Vec::new() },
            nodes: vec![node("a", &[symbol::host("a")]), node("b", &[text])],
            relayed: false,
        };
        assert_eq!(plan.routes().len(), 0);
        plan.relayed = true;
        let [from, to, port] = ["b", "a", "p2p"].map(str::to_owned);
        assert_eq!(Vec::from_iter(plan.routes()), [Route { from, to, port, protocol: Protocol::Udp }]);
        assert_eq!(plan.leads_around_the_relay("node"), None);
        plan.nodes[1].args.push(symbol::host("a"));
        let problem = plan.leads_around_the_relay("node").unwrap().to_string();
        assert!(problem.contains("`node` tells b the own address of another node"), "{problem}");
    }
}
