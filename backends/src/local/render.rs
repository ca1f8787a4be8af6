//! What a plan becomes on this machine, as data: loopback addresses, bindings, commands. Nothing is
//! touched here.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use logos_scenario_runtime::faults::Link;
use logos_scenario_runtime::plan::{Binding, Bindings, Plan, PlannedFile, PlannedNode, RelayBinding, Route};

use crate::env::Settings;
use crate::planned;
use crate::relay::Way;

/// The most nodes that one cluster can have.
pub(super) const MAX_NODES: usize = 200;

/// A `127.a.b.0/24` that is one cluster's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    a: u8,
    b: u8,
}

impl Subnet {
    /// One of the 65,024 subnets, chosen by any number. `127.0.x.y` is left to others: it is where programs listen
    /// that know of one loopback address only, and where resolvers are.
    pub(super) fn choose(number: u64) -> Self {
        let index = number % (254 * 256);
        let [b, a, ..] = index.to_le_bytes();
        Self { a: a + 1, b }
    }

    /// Whoever listens here holds the subnet.
    pub(super) fn guard(self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.a, self.b, 1)
    }

    /// An address that nobody has.
    pub(super) fn spare(self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.a, self.b, 2)
    }

    /// Where the relay takes what nodes send each other.
    pub(super) fn relay(self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.a, self.b, 3)
    }

    /// The address of the node with this index in the plan, which is below [`MAX_NODES`].
    pub(super) fn node(self, index: usize) -> Ipv4Addr {
        let last = u8::try_from(10 + index).expect("a cluster has at most MAX_NODES nodes");
        Ipv4Addr::new(127, self.a, self.b, last)
    }
}

/// Where one node listens: its host, and the numbers of its ports by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: Ipv4Addr,
    pub(super) ports: BTreeMap<String, u16>,
}

/// The addresses of a plan in a subnet of its own: every port keeps its number.
pub(super) fn addresses(plan: &Plan, subnet: Subnet) -> Vec<Address> {
    let ports = |node: &PlannedNode| node.ports.iter().map(|port| (port.name.clone(), port.number)).collect();
    plan.nodes
        .iter()
        .enumerate()
        .map(|(index, node)| Address { host: subnet.node(index), ports: ports(node) })
        .collect()
}

/// Binds every node to its address and to its directory below `nodes`.
pub(super) fn bindings(plan: &Plan, addresses: &[Address], nodes: &Path, start_time: SystemTime) -> Bindings {
    let binding = |(node, address): (&PlannedNode, &Address)| {
        let directory = nodes.join(&node.name);
        let Address { host, ports } = address.clone();
        (node.name.clone(), Binding { ports, ..Binding::new(host.to_string(), node, directory) })
    };
    Bindings {
        start_time: planned::to_whole_milliseconds(start_time),
        nodes: plan.nodes.iter().zip(addresses).map(binding).collect(),
        relay: Vec::new(),
    }
}

/// The ways of a relayed plan's routes, each from any free port of the relay's.
pub(super) fn ways(plan: &Plan, addresses: &[Address], subnet: Subnet) -> Vec<Way> {
    let address = |name: &str| plan.nodes.iter().zip(addresses).find(|(node, _)| node.name == name);
    let way = |route: Route| {
        let (_, Address { host, ports }) = address(&route.to)?;
        let to = format!("{host}:{}", ports.get(&route.port)?);
        Some(Way {
            at: (subnet.relay(), 0).into(),
            to,
            link: Link::new(route.from, route.to),
            protocol: route.protocol,
        })
    };
    plan.routes().into_iter().filter_map(way).collect()
}

/// Where the relay takes what is for a plan's routes, in their order.
pub(super) fn relayed(plan: &Plan, at: &[SocketAddr]) -> Vec<RelayBinding> {
    let binding = |(route, at): (Route, &SocketAddr)| RelayBinding {
        route,
        host: at.ip().to_string(),
        port: at.port(),
    };
    plan.routes().into_iter().zip(at).map(binding).collect()
}

/// All it takes to start a node, as often as needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeCommand {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    /// The whole environment.
    pub(super) env: BTreeMap<String, String>,
    /// Where the node starts, and where its files are.
    pub(super) directory: PathBuf,
    /// What it finds there.
    pub(super) files: Vec<PlannedFile>,
    /// Gets what the node prints.
    pub(super) log: PathBuf,
    /// Whether it is not started with the cluster.
    pub(super) late: bool,
}

/// The command of a rendered node.
pub(super) fn command(
    node: &PlannedNode,
    program: PathBuf,
    directory: PathBuf,
    log: PathBuf,
    settings: &Settings,
) -> NodeCommand {
    let host_paths = settings.host_paths.iter().map(|(name, path)| ((*name).to_owned(), path.clone()));
    NodeCommand {
        name: node.name.clone(),
        program,
        args: node.args.clone(),
        env: host_paths.chain(planned::environment(node, settings)).collect(),
        directory,
        files: node.files.clone(),
        log,
        late: node.late,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::{Duration, UNIX_EPOCH};

    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::planned::tests::two_nodes;

    fn plan() -> Plan {
        two_nodes(|_| {
            json!({
                "executable": { "program": "node", "path": null },
                "args": ["${directory}/config.yaml", "${host:validator-0}:${port:validator-0/p2p}"],
                "env": { "NOMOS_LOG_LEVEL": "warn" },
            })
        })
    }

    #[test]
    fn a_plan_becomes_commands_and_endpoints() {
        let plan = plan();
        let addresses = addresses(&plan, Subnet { a: 7, b: 9 });
        let time = UNIX_EPOCH + Duration::from_nanos(1);
        let bindings = bindings(&plan, &addresses, Path::new("/run/nodes"), time);
        let settings = Settings {
            log_level: Some("trace".into()),
            log_filter: Some("p2p=debug".into()),
            host_paths: [("NOMOS_CIRCUITS", "/circuits".to_owned())].into(),
            ..Settings::default()
        };
        let commands: Vec<_> = plan
            .render(&bindings)
            .unwrap()
            .iter()
            .map(|node| {
                let log = Path::new("/run").join(format!("{}.log", node.name));
                let directory = bindings.nodes[&node.name].directory.clone();
                command(node, "/bin/node".into(), directory, log, &settings)
            })
            .collect();
        expect![[r#"
            NodeCommand {
                name: "executor-0",
                program: "/bin/node",
                args: [
                    "/run/nodes/executor-0/config.yaml",
                    "127.7.9.10:3000",
                ],
                env: {
                    "NOMOS_CIRCUITS": "/circuits",
                    "NOMOS_LOG_FILTER": "p2p=debug",
                    "NOMOS_LOG_LEVEL": "warn",
                },
                directory: "/run/nodes/executor-0",
                files: [],
                log: "/run/executor-0.log",
                late: false,
            }
        "#]]
        .assert_debug_eq(&commands[1]);
        expect![[r#"
            ClusterDescription {
                start_time: SystemTime {
                    tv_sec: 0,
                    tv_nsec: 1000000,
                },
                seen_slot: None,
                nodes: [
                    NodeEndpoints {
                        name: "validator-0",
                        role: Validator,
                        addresses: {
                            "http": "127.7.9.10:18080",
                        },
                        log: "/run/validator-0.log",
                    },
                    NodeEndpoints {
                        name: "executor-0",
                        role: Executor,
                        addresses: {
                            "http": "127.7.9.11:18080",
                        },
                        log: "/run/executor-0.log",
                    },
                ],
            }
        "#]]
        .assert_debug_eq(&planned::description(&plan, &bindings, Path::new("/run")));
    }

    #[test]
    fn subnets_differ_and_keep_off_the_common_addresses() {
        let guards: HashSet<Ipv4Addr> = (0..254 * 256).map(|number| Subnet::choose(number).guard()).collect();
        assert_eq!(guards.len(), 254 * 256);
        assert!(guards.iter().all(|guard| guard.octets()[0] == 127 && guard.octets()[1] > 0));
        assert_eq!(Subnet::choose(254 * 256), Subnet::choose(0));
        assert_eq!(Subnet { a: 1, b: 2 }.node(MAX_NODES - 1), Ipv4Addr::new(127, 1, 2, 209));
    }
}
