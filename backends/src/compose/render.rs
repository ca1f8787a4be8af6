//! What a plan becomes in containers, as data: addresses in two networks, bindings, and a Compose file.
//! Nothing is touched here.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::SystemTime;

use ipnet::Ipv4Net;
use logos_scenario_runtime::deployer::ClusterDescription;
use logos_scenario_runtime::plan::{Binding, Bindings, Plan, PlannedFile, PlannedNode, Protocol};

use super::model::{Attachment, Compose, Network, Secret, SecretUse, Service, Subnet};
use crate::env::Settings;
use crate::planned;
use crate::relay::ways::RELAY;

mod relayed;
pub(super) use relayed::address_in as relay_address;

/// What all nodes and clusters have in common.
const TEMPLATE: &str = include_str!("../../assets/compose/docker-compose.yml");
/// The service of the template that every node starts from.
const NODE: &str = "node";
/// The network on which clients reach nodes.
pub(super) const CONTROL: &str = "control";
/// The network on which nodes reach each other.
pub(super) const PEER: &str = "peer";
/// Where a node finds its files and keeps its data: a volume, since all else is read-only.
pub(super) const DIRECTORY: &str = "/node";
/// Tells a node where it fetches its configuration.
const SERVER: &str = "CFG_SERVER_ADDR";
/// The most nodes that one cluster can have.
pub(super) const MAX_NODES: usize = 200;

/// The addresses of a cluster: a `/24` for each of its networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subnets {
    pub(super) control: Ipv4Net,
    /// With their names: one that all nodes share, or one that each node shares with the relay alone.
    pub(super) peers: Vec<(String, Ipv4Net)>,
}

impl Subnets {
    /// The network on which a node reaches others, or their relay.
    fn peer(&self, index: usize) -> (&str, Ipv4Net) {
        let (name, subnet) = if self.peers.len() == 1 { &self.peers[0] } else { &self.peers[index] };
        (name, *subnet)
    }
}

/// The names of the networks on which nodes reach each other.
pub(super) fn peer_networks(plan: &Plan) -> Vec<String> {
    match plan.relayed {
        true => plan.nodes.iter().map(|node| format!("{PEER}-{}", node.name)).collect(),
        false => vec![PEER.to_owned()],
    }
}

/// The address of the node with this index in the plan, which is below [`MAX_NODES`].
fn address(subnet: Ipv4Net, index: usize) -> Ipv4Addr {
    let offset = u32::try_from(10 + index).expect("a cluster has at most MAX_NODES nodes");
    Ipv4Addr::from(u32::from(subnet.network()) + offset)
}

/// The address of this machine in a network.
pub(super) fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()) + 1)
}

/// Binds every node to its addresses; every port keeps its number.
pub(super) fn bindings(plan: &Plan, subnets: &Subnets, start_time: SystemTime) -> Bindings {
    let binding = |(index, node): (usize, &PlannedNode)| {
        let binding = Binding {
            control: address(subnets.control, index).to_string(),
            ..Binding::new(address(subnets.peer(index).1, index).to_string(), node, DIRECTORY)
        };
        (node.name.clone(), binding)
    };
    Bindings {
        start_time: planned::to_whole_milliseconds(start_time),
        nodes: plan.nodes.iter().enumerate().map(binding).collect(),
        relay: relayed::bindings(plan, subnets),
    }
}

/// The file that holds what all clusters have in common.
pub(super) fn template() -> Compose {
    Compose::from_yaml(TEMPLATE).expect("the template is a Compose file")
}

/// The Compose file of rendered nodes. With `publish` their TCP ports answer on this machine's loopback
/// address too, at numbers that the engine chooses.
pub(super) fn compose(
    plan: &Plan,
    rendered: &[PlannedNode],
    subnets: &Subnets,
    settings: &Settings,
    publish: bool,
) -> Compose {
    let template = template();
    let mut file = Compose::default();
    let peers = subnets.peers.iter().map(|(name, subnet)| (PEER, name.as_str(), *subnet));
    for (like, name, subnet) in peers.chain([(CONTROL, CONTROL, subnets.control)]) {
        let mut network: Network = template.networks[like].clone();
        network.ipam.config = vec![Subnet { subnet }];
        file.networks.insert(name.to_owned(), network);
    }
    if plan.relayed {
        file.services.insert(
            RELAY.to_owned(),
            relayed::service(&template.services[NODE], plan, subnets, settings, publish),
        );
    }
    for (index, node) in rendered.iter().enumerate() {
        file.volumes.insert(node.name.clone(), super::model::Volume {});
        add(&mut file, index, node, subnets, settings, publish);
    }
    file
}

/// Adds a node to a Compose file that has its networks and volume, in place of what was there by its name.
pub(super) fn add(
    file: &mut Compose,
    index: usize,
    node: &PlannedNode,
    subnets: &Subnets,
    settings: &Settings,
    publish: bool,
) {
    let mut service = service(&template().services[NODE], node, settings);
    if node.fetches.is_some() {
        service.environment.extend(fetching(node, address(subnets.peer(index).1, index), subnets));
    }
    for (name, subnet) in [(CONTROL, subnets.control), subnets.peer(index)] {
        service.networks.insert(name.to_owned(), Attachment { ipv4_address: address(subnet, index) });
    }
    if publish {
        service.ports = tcp_ports(node).map(|port| format!("127.0.0.1::{port}")).collect();
    }
    let before = file.services.insert(node.name.clone(), service);
    for secret in before.iter().flat_map(|service| &service.secrets) {
        file.secrets.remove(&secret.source);
    }
    file.secrets.extend(
        found(node).map(|planned| {
            (secret(node, planned), Secret { file: format!("./{}", host_path(node, planned)) })
        }),
    );
}

fn service(base: &Service, node: &PlannedNode, settings: &Settings) -> Service {
    let secrets = found(node).map(|file| SecretUse {
        source: secret(node, file),
        target: format!("{DIRECTORY}/{}", file.path.display()),
    });
    Service {
        image: super::image::of(node, settings).to_owned(),
        entrypoint: vec![node.executable.program.clone()],
        command: node.args.clone(),
        working_dir: DIRECTORY.to_owned(),
        environment: planned::environment(node, settings),
        volumes: vec![format!("{}:{DIRECTORY}", node.name)],
        secrets: secrets.collect(),
        mem_limit: settings.node_memory,
        // No swap: a node that needs more ends, instead of becoming slow.
        memswap_limit: settings.node_memory,
        cpus: settings.node_cpus,
        ..base.clone()
    }
}

/// The files that a node finds in its directory when it starts.
pub(super) fn found(node: &PlannedNode) -> impl Iterator<Item = &PlannedFile> {
    node.files.iter().filter(|file| node.fetches.as_ref() != Some(&file.path))
}

/// What tells a node where to fetch its configuration, and as whom.
fn fetching(node: &PlannedNode, host: Ipv4Addr, subnets: &Subnets) -> Vec<(String, String)> {
    let path = node.fetches.iter().map(|path| format!("{DIRECTORY}/{}", path.display()));
    let server = format!("http://{}:{}", gateway(subnets.control), super::cfgsync::PORT);
    let ports = [
        ("network", "CFG_NETWORK_PORT"),
        ("da", "CFG_DA_PORT"),
        ("blend", "CFG_BLEND_PORT"),
        ("http", "CFG_API_PORT"),
        ("testing_http", "CFG_TESTING_HTTP_PORT"),
    ];
    let number = |(name, variable): (&str, &'static str)| {
        let port = node.ports.iter().find(|port| port.name == name)?;
        Some((variable, port.number.to_string()))
    };
    let told = [
        (SERVER, server),
        ("CFG_HOST_IP", host.to_string()),
        ("CFG_HOST_IDENTIFIER", node.name.clone()),
        ("CFG_HOST_KIND", node.role.to_string()),
    ];
    let told =
        path.map(|path| ("CFG_FILE_PATH", path)).chain(told).chain(ports.into_iter().filter_map(number));
    told.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Where a node's file stands beside the Compose file.
pub(super) fn host_path(node: &PlannedNode, file: &PlannedFile) -> String {
    format!("nodes/{}/{}", node.name, file.path.display())
}

/// What a node's file is called in the Compose file.
fn secret(node: &PlannedNode, file: &PlannedFile) -> String {
    format!("{}.{}", node.name, file.path.display()).replace('/', ".")
}

fn tcp_ports(node: &PlannedNode) -> impl Iterator<Item = u16> {
    node.ports.iter().filter(|port| port.protocol == Protocol::Tcp).map(|port| port.number)
}

/// The Compose file as it is written, with how to use it.
pub(super) fn to_text(file: &Compose, project: &str) -> String {
    if file.services.values().any(|service| service.environment.contains_key(SERVER)) {
        return format!(
            "# Shows the nodes of a test, which fetch their configuration at {SERVER} from a server that ends with it:\n\
             # started by hand they find none. What they fetch is in the folder `nodes`.\n{}",
            file.to_yaml()
        );
    }
    format!(
        "# Starts the same nodes by hand, once the test's own are gone:\n\
         #   docker compose -p {project} -f docker-compose.yml up\n\
         #   docker compose -p {project} -f docker-compose.yml down -v\n{}",
        file.to_yaml()
    )
}

/// The description where nodes are reached by ports on the loopback address: `published` has these by node
/// and by the port's number in the container.
pub(super) fn published(
    mut description: ClusterDescription,
    published: &BTreeMap<String, BTreeMap<u16, u16>>,
) -> ClusterDescription {
    for node in &mut description.nodes {
        let ports = published.get(&node.name);
        for address in node.addresses.values_mut() {
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            if let Some(port) = port.and_then(|port: u16| ports?.get(&port)) {
                *address = format!("127.0.0.1:{port}");
            }
        }
    }
    description
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::UNIX_EPOCH;

    use expect_test::{expect, expect_file};
    use logos_scenario_runtime::deployer::Placement;
    use logos_scenario_runtime::faults::Link;
    use logos_scenario_runtime::plan::symbol;
    use serde_json::{Value, json};

    use super::*;
    use crate::compose::labels::{HEARTBEAT, OWNER, Project};
    use crate::compose::request;
    use crate::planned::tests::two_nodes;
    use crate::relay::Way;

    fn plan() -> Plan {
        let text = "${control:validator-0} ${host:executor-0}";
        two_nodes(|_| json!({ "files": [{ "path": "keys/a.yaml", "text": text }] }))
    }

    fn subnets() -> Subnets {
        let peer = "10.150.0.0/24".parse().unwrap();
        Subnets { control: "10.144.7.0/24".parse().unwrap(), peers: vec![(PEER.to_owned(), peer)] }
    }

    fn rendered() -> (Bindings, Vec<PlannedNode>) {
        let bindings = bindings(&plan(), &subnets(), UNIX_EPOCH);
        let rendered = plan().render(&bindings).unwrap();
        (bindings, rendered)
    }

    #[test]
    fn a_plan_becomes_a_compose_file() {
        let (_, mut rendered) = rendered();
        rendered[0].args.push("$5".to_owned());
        rendered[0].env.insert("PRICE".to_owned(), "$5".to_owned());
        let settings =
            Settings { node_cpus: Some(0.5), log_level: Some("debug".into()), ..Settings::default() };
        let file = compose(&plan(), &rendered, &subnets(), &settings, false);
        let text = to_text(&file, "logos-scenario-00000001");
        expect_file!["../../testdata/docker-compose.yml"].assert_eq(&text);
        let read = Compose::from_yaml(&text).unwrap();
        assert_eq!(read.services["executor-0"], file.services["executor-0"]);
    }

    #[test]
    fn the_engine_is_asked_for_what_the_file_says() {
        let (_, rendered) = rendered();
        let settings = Settings { node_cpus: Some(0.5), ..Settings::default() };
        let file = compose(&plan(), &rendered, &subnets(), &settings, true);
        let place = Placement { directory: "/run".into(), labels: [("run".into(), "one".into())].into() };
        let project = Project::new(1, "key", &place);
        let networks = file.networks.iter().map(|(name, it)| json!(request::network(&project, name, it)));
        let name = "validator-0";
        let service = &file.services[name];
        let connections = request::further_networks(service)
            .map(|(network, at)| json!([network, request::connection("container", name, at)]));
        let mut asked = json!({
            "networks": networks.collect::<Vec<_>>(),
            "container": request::container(&project, name, service),
            "connections": connections.collect::<Vec<_>>(),
        });
        asked.sort_all_objects();
        let asked = without_times(asked);
        expect_file!["../../testdata/engine-requests.json"].assert_eq(&format!("{asked:#}\n"));
    }

    #[test]
    fn who_fetches_its_configuration_is_told_where_and_as_whom() {
        let (_, mut rendered) = rendered();
        rendered[0].fetches = Some("keys/a.yaml".into());
        let file = compose(&plan(), &rendered, &subnets(), &Settings::default(), false);
        let told = &file.services["validator-0"].environment;
        expect![[r#"
            CFG_API_PORT=18080
            CFG_FILE_PATH=/node/keys/a.yaml
            CFG_HOST_IDENTIFIER=validator-0
            CFG_HOST_IP=10.150.0.10
            CFG_HOST_KIND=validator
            CFG_SERVER_ADDR=http://10.144.7.1:4400
        "#]]
        .assert_eq(&told.iter().map(|(name, value)| format!("{name}={value}\n")).collect::<String>());
        assert_eq!(file.secrets.keys().collect::<Vec<_>>(), ["executor-0.keys.a.yaml"]);
        let text = to_text(&file, "logos-scenario-00000001");
        assert!(
            !text.contains("docker compose") && text.contains("started by hand they find none"),
            "{text}"
        );
    }

    /// Without what is another at each run: who asks, and when.
    fn without_times(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let field = |(name, value): (String, Value)| match name.as_str() {
                    OWNER | HEARTBEAT => (name, "of this run".into()),
                    _ => (name, without_times(value)),
                };
                Value::Object(fields.into_iter().map(field).collect())
            }
            Value::Array(values) => values.into_iter().map(without_times).collect(),
            value => value,
        }
    }

    #[test]
    fn no_node_may_do_more_than_it_needs() {
        let (_, rendered) = rendered();
        for service in compose(&plan(), &rendered, &subnets(), &Settings::default(), true).services.values() {
            assert!(service.read_only);
            assert_eq!(service.cap_drop, ["ALL"]);
            assert_eq!(service.security_opt, ["no-new-privileges:true"]);
            assert_eq!((service.mem_limit, service.pids_limit), (1 << 30, 512));
            assert_eq!(
                service.ports,
                ["127.0.0.1::18080"],
                "no fixed port, and on the loopback address only"
            );
        }
    }

    #[test]
    fn nodes_of_a_relayed_plan_share_networks_with_the_relay_alone() {
        let mut plan = plan();
        plan.relayed = true;
        plan.nodes[1].files[0].text = format!(
            "{}:{}",
            symbol::peer_host("validator-0", "p2p"),
            symbol::peer_port("validator-0", "p2p")
        );
        let peers = peer_networks(&plan).into_iter().zip(["10.150.0.0/24", "10.150.1.0/24"]);
        let peers = peers.map(|(name, subnet)| (name, subnet.parse().unwrap())).collect();
        let subnets = Subnets { peers, ..subnets() };
        let bindings = bindings(&plan, &subnets, UNIX_EPOCH);
        plan.nodes[0].files[0].text = "${control:validator-0}".to_owned();
        let rendered = plan.render(&bindings).unwrap();
        assert_eq!(rendered[1].files[0].text, "10.150.1.2:20000");
        let file = compose(&plan, &rendered, &subnets, &Settings::default(), false);
        let networks = |service: &str| file.services[service].networks.keys().cloned().collect::<Vec<_>>();
        assert_eq!(networks("validator-0"), ["control", "peer-validator-0"]);
        assert_eq!(networks("executor-0"), ["control", "peer-executor-0"]);
        assert_eq!(networks("relay"), ["control", "peer-executor-0", "peer-validator-0"]);
        let ways: Vec<Way> = serde_json::from_str(&file.services["relay"].command[0]).unwrap();
        let way = Way {
            link: Link::new("executor-0", "validator-0"),
            protocol: Protocol::Udp,
            at: "10.150.1.2:20000".parse().unwrap(),
            to: "10.150.0.10:3000".to_owned(),
        };
        assert_eq!(ways, [way]);
    }

    #[test]
    fn peers_and_clients_are_told_different_addresses() {
        let (bindings, rendered) = rendered();
        assert_eq!(rendered[0].files[0].text, "10.144.7.10 10.150.0.11");
        let description = planned::description(&plan(), &bindings, Path::new("/run"));
        assert_eq!(
            description.nodes[1].addresses,
            [("http".to_owned(), "10.144.7.11:18080".to_owned())].into()
        );
        assert_eq!(description.nodes[1].log, "/run/executor-0.log");
        let ports = [("executor-0".to_owned(), [(18_080, 49_153)].into())].into();
        let published = published(description, &ports);
        assert_eq!(published.nodes[1].addresses["http"], "127.0.0.1:49153");
    }
}
