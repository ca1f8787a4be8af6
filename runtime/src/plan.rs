//! Every file, command, key and port name for one cluster: pure data, symbolic in what only a backend
//! can know.
//!
//! A [`Plan`] is made from a scenario and its [`NodeProgram`] without touching the machine. Texts in it
//! hold *symbols* for addresses, start time and directories; a backend reserves these as [`Bindings`] and
//! calls [`Plan::render`]:
//!
//! ```
//! # use logos_scenario_runtime as logos_scenario;
//! use logos_scenario::plan::{Binding, Bindings, symbol};
//! # use std::time::SystemTime;
//! let (host, port) = (symbol::peer_host("validator-0", "p2p"), symbol::peer_port("validator-0", "p2p"));
//! let peer = format!("/ip4/{host}/tcp/{port}");
//! assert_eq!(peer, "/ip4/${peer_host:validator-0/p2p}/tcp/${peer_port:validator-0/p2p}");
//! let bindings = Bindings {
//!     start_time: SystemTime::UNIX_EPOCH,
//!     nodes: [("validator-0".into(), Binding {
//!         host: "127.1.2.10".into(),
//!         listen: "127.1.2.10".into(),
//!         control: "127.1.2.10".into(),
//!         ports: [("p2p".into(), 3000)].into(),
//!         directory: "/tmp/validator-0".into(),
//!     })].into(),
//!     relay: [].into(),
//! };
//! assert_eq!(bindings.resolve("validator-1", &peer).unwrap(), "/ip4/127.1.2.10/tcp/3000");
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::deployer::ClusterError;
use crate::failure::Problem;
use crate::node::NodeProgram;
use crate::topology::{Node, Role, Topology};

mod genesis;
mod routes;
pub use genesis::{ClusterKey, Genesis, Leader};
pub use routes::{RelayBinding, Route};

/// Makes the symbols that stand in a plan's texts until a backend binds them.
pub mod symbol {
    /// The time at which the chain starts, as RFC 3339 with milliseconds.
    pub const START_TIME: &str = "${start_time}";
    /// The directory of the node whose text this is.
    pub const DIRECTORY: &str = "${directory}";

    /// The address on which the node whose text this is listens for other nodes.
    pub const LISTEN: &str = "${listen}";

    /// The host under which other nodes reach `node`.
    #[must_use]
    pub fn host(node: &str) -> String {
        format!("${{host:{node}}}")
    }

    /// The host on which `node` listens for clients that are not nodes, such as the framework: its HTTP
    /// answers there even while the node is cut off from the others.
    #[must_use]
    pub fn control(node: &str) -> String {
        format!("${{control:{node}}}")
    }

    /// The number of the port that `node` calls `port`.
    #[must_use]
    pub fn port(node: &str, port: &str) -> String {
        format!("${{port:{node}/{port}}}")
    }

    /// The host under which the node whose text this is reaches what `peer` calls `port`: the peer's own, or that of
    /// a relay. The number of the port there is [`peer_port`].
    #[must_use]
    pub fn peer_host(peer: &str, port: &str) -> String {
        format!("${{peer_host:{peer}/{port}}}")
    }

    /// The number of the port at [`peer_host`].
    #[must_use]
    pub fn peer_port(peer: &str, port: &str) -> String {
        format!("${{peer_port:{peer}/{port}}}")
    }
}

/// One cluster as it should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Says which scenarios may use the cluster.
    pub key: ClusterKey,
    /// What the chain starts from.
    pub genesis: Genesis,
    /// The nodes, validators first.
    pub nodes: Vec<PlannedNode>,
    /// Whether nodes reach each other through a relay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relayed: bool,
}

/// One node as it should be started; texts may hold symbols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedNode {
    /// The name in the topology.
    pub name: String,
    /// What the node does.
    pub role: Role,
    /// What to execute.
    pub executable: Executable,
    /// What this node alone executes where nodes are processes, whatever settings and program say.
    #[serde(default)]
    pub binary: Option<PathBuf>,
    /// What this node alone runs where nodes are containers, whatever settings and program say.
    #[serde(default)]
    pub image: Option<String>,
    /// Whether the node is not started with the cluster, but by
    /// [`NodeAction::Start`](crate::deployer::NodeAction::Start).
    #[serde(default)]
    pub late: bool,
    /// The one of `files` that the node fetches from a cfgsync server over HTTP, as JSON, instead of finding
    /// it. Only containers do; elsewhere it is written like the others.
    #[serde(default)]
    pub fetches: Option<PathBuf>,
    /// Arguments.
    pub args: Vec<String>,
    /// The whole environment of the node: a backend hands it nothing else of its own.
    pub env: BTreeMap<String, String>,
    /// Files to write before the start.
    pub files: Vec<PlannedFile>,
    /// Ports the node listens on.
    pub ports: Vec<PlannedPort>,
}

impl PlannedNode {
    /// What the topology says of the node; arguments, files and ports are the
    /// [`NodeProgram`]'s to add:
    ///
    /// ```
    /// # use logos_scenario_runtime as logos_scenario;
    /// use logos_scenario::plan::{Executable, NodePlanning, PlannedNode};
    /// fn plan(node: &NodePlanning<'_>) -> PlannedNode {
    ///     let executable = Executable { program: "mynode".into(), path: None };
    ///     PlannedNode { args: vec!["--verbose".into()], ..PlannedNode::new(node.node(), executable) }
    /// }
    /// ```
    #[must_use]
    pub fn new(node: &Node, executable: Executable) -> Self {
        Self {
            name: node.name.clone(),
            role: node.role,
            executable,
            binary: node.binary.clone(),
            image: node.image.clone(),
            late: node.late,
            fetches: None,
            args: Vec::new(),
            env: node.env.iter().cloned().collect(),
            files: Vec::new(),
            ports: Vec::new(),
        }
    }
}

/// Which program a node runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Executable {
    /// File name of the program, looked up in `PATH` as a last resort.
    pub program: String,
    /// Where the program is, if the node program knows.
    pub path: Option<PathBuf>,
}

/// A file of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Relative to the node's directory.
    pub path: PathBuf,
    /// The text, which may hold symbols.
    pub text: String,
}

/// A port of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPort {
    /// The name under which texts and clients ask for it.
    pub name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The number, where the backend is free to keep it.
    pub number: u16,
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a backend fills a plan in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bindings {
    /// When slot 0 of the chain begins.
    pub start_time: SystemTime,
    /// By name of the node.
    pub nodes: BTreeMap<String, Binding>,
    /// Where a relay takes what is for each route of a relayed plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relay: Vec<RelayBinding>,
}

/// What a backend fills one node in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Address or name under which the other nodes reach this one.
    pub host: String,
    /// Address on which the node listens for these: its host, or all of its addresses where it is given one only
    /// when it starts.
    pub listen: String,
    /// Address on which clients that are not nodes reach it. The same where nodes have one network only.
    pub control: String,
    /// Numbers of the planned ports by name.
    pub ports: BTreeMap<String, u16>,
    /// The node's directory, as the node sees it.
    pub directory: PathBuf,
}

impl Plan {
    /// Plans the cluster of a topology: `accounts` are the values of the wallet accounts in genesis.
    ///
    /// # Errors
    ///
    /// Everything that single nodes are given and their program does not have.
    pub fn new(
        backend: &str,
        topology: &Topology,
        accounts: &[u64],
        program: &dyn NodeProgram,
    ) -> Result<Self, Vec<Problem>> {
        let key = ClusterKey::new(backend, topology, accounts, program);
        let genesis = Genesis::new(&key, topology, accounts);
        let mut nodes = Vec::new();
        let mut problems = Vec::new();
        for index in 0..topology.nodes().len() {
            match program.plan(&NodePlanning { topology, genesis: &genesis, index }) {
                Ok(node) => nodes.push(node),
                Err(problem) => problems.push(problem),
            }
        }
        let plan = Self { key, genesis, nodes, relayed: topology.relayed() };
        problems.extend(plan.leads_around_the_relay(program.name()));
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    /// The plan with every symbol replaced.
    ///
    /// # Errors
    ///
    /// A symbol that the bindings do not know is named with its node and place.
    pub fn render(&self, bindings: &Bindings) -> Result<Vec<PlannedNode>, RenderError> {
        self.nodes.iter().map(|node| bindings.render(node)).collect()
    }

    /// A node of this plan that is [planned anew](crate::deployer::Cluster::replan), with every symbol replaced, and
    /// its index.
    ///
    /// # Errors
    ///
    /// There is no such node, its role or ports are others, or the bindings have no value for a symbol.
    pub fn replanned(
        &self,
        node: &PlannedNode,
        bindings: &Bindings,
    ) -> Result<(usize, PlannedNode), ClusterError> {
        let names = self.nodes.iter().map(|node| node.name.as_str());
        let index = self.nodes.iter().position(|planned| planned.name == node.name);
        let index = index.ok_or_else(|| ClusterError::no_such_node(&node.name, names))?;
        let planned = &self.nodes[index];
        let refused = |what: String| ClusterError { subject: node.name.clone(), what };
        if (planned.role, &planned.ports) != (node.role, &node.ports) {
            let what =
                "cannot be planned anew with another role or other ports: others know it by those it has";
            return Err(refused(what.to_owned()));
        }
        let rendered = bindings.render(node).map_err(|error| refused(error.to_string()))?;
        Ok((index, rendered))
    }
}

/// What a [`NodeProgram`] is told of the node it should plan.
#[derive(Clone, Copy, Debug)]
pub struct NodePlanning<'a> {
    /// The whole topology.
    pub topology: &'a Topology,
    /// What the chain starts from.
    pub genesis: &'a Genesis,
    /// Which of the topology's nodes to plan.
    pub index: usize,
}

impl<'a> NodePlanning<'a> {
    /// The node to plan.
    #[must_use]
    pub fn node(&self) -> &'a Node {
        &self.topology.nodes()[self.index]
    }
}

impl Binding {
    /// The binding of a node that has an address of its own, where its ports keep their numbers.
    #[must_use]
    pub fn new(host: impl Into<String>, node: &PlannedNode, directory: impl Into<PathBuf>) -> Self {
        let ports = node.ports.iter().map(|port| (port.name.clone(), port.number)).collect();
        let host = host.into();
        Self { control: host.clone(), listen: host.clone(), host, ports, directory: directory.into() }
    }
}

impl Bindings {
    /// Binds every node, of which its place in the plan is told, for a chain that starts now.
    #[must_use]
    pub fn new(plan: &Plan, mut binding: impl FnMut(usize, &PlannedNode) -> Binding) -> Self {
        let nodes = plan.nodes.iter().enumerate();
        let nodes = nodes.map(|(index, node)| (node.name.clone(), binding(index, node))).collect();
        Self { start_time: SystemTime::now(), nodes, relay: Vec::new() }
    }

    /// One node with every symbol replaced.
    ///
    /// # Errors
    ///
    /// As those of [`Plan::render`].
    pub fn render(&self, node: &PlannedNode) -> Result<PlannedNode, RenderError> {
        let text = |text: &String| self.resolve(&node.name, text);
        Ok(PlannedNode {
            args: node.args.iter().map(text).collect::<Result<_, _>>()?,
            env: node
                .env
                .iter()
                .map(|(name, value)| Ok((name.clone(), text(value)?)))
                .collect::<Result<_, _>>()?,
            files: node
                .files
                .iter()
                .map(|file| Ok(PlannedFile { path: file.path.clone(), text: text(&file.text)? }))
                .collect::<Result<_, _>>()?,
            ..node.clone()
        })
    }

    /// One text of `node` with its symbols replaced.
    ///
    /// # Errors
    ///
    /// A symbol that is not closed, not one of those in [`symbol`], or names an unknown node or port.
    pub fn resolve(&self, node: &str, text: &str) -> Result<String, RenderError> {
        let mut resolved = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            resolved.push_str(&rest[..start]);
            let symbol = &rest[start + 2..];
            let closed = symbol.split_once('}');
            let value = closed.and_then(|(name, after)| Some((self.value(node, name)?, after)));
            let (value, after) = value.ok_or_else(|| RenderError {
                node: node.to_owned(),
                symbol: rest[start..].lines().next().unwrap_or_default().chars().take(80).collect(),
            })?;
            resolved.push_str(&value);
            rest = after;
        }
        resolved.push_str(rest);
        Ok(resolved)
    }

    fn value(&self, node: &str, symbol: &str) -> Option<String> {
        if symbol == "start_time" {
            return Some(humantime::format_rfc3339_millis(self.start_time).to_string());
        }
        if symbol == "directory" {
            return Some(self.nodes.get(node)?.directory.display().to_string());
        }
        if symbol == "listen" {
            return Some(self.nodes.get(node)?.listen.clone());
        }
        match symbol.split_once(':')? {
            ("host", name) => Some(self.nodes.get(name)?.host.clone()),
            ("control", name) => Some(self.nodes.get(name)?.control.clone()),
            ("peer_host", path) => Some(self.peer(node, path)?.0.to_owned()),
            ("peer_port", path) => Some(self.peer(node, path)?.1.to_string()),
            ("port", path) => {
                let (name, port) = path.split_once('/')?;
                self.nodes.get(name)?.ports.get(port).map(u16::to_string)
            }
            _ => None,
        }
    }
}

/// A text of a plan that the bindings cannot fill in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan of node `{node}` holds `{symbol}`, which no binding gives a value; symbols are made by `plan::symbol`"
)]
pub struct RenderError {
    /// The node whose text it is.
    pub node: String,
    /// The symbol as it stands in the text.
    pub symbol: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn bindings() -> Bindings {
        let binding = Binding {
            host: "127.1.2.10".into(),
            listen: "0.0.0.0".into(),
            control: "127.9.2.10".into(),
            ports: [("http".to_owned(), 18080)].into(),
            directory: "/run/a".into(),
        };
        Bindings {
            start_time: SystemTime::UNIX_EPOCH,
            nodes: [("a".to_owned(), binding)].into(),
            relay: Vec::new(),
        }
    }

    #[test]
    fn every_symbol_is_replaced() {
        let text = format!(
            "{} {} {} {}:{} {} $ {{}}",
            symbol::START_TIME,
            symbol::LISTEN,
            symbol::host("a"),
            symbol::control("a"),
            symbol::port("a", "http"),
            symbol::DIRECTORY
        );
        assert_eq!(
            bindings().resolve("a", &text).unwrap(),
            "1970-01-01T00:00:00.000Z 0.0.0.0 127.1.2.10 127.9.2.10:18080 /run/a $ {}"
        );
    }

    #[test]
    fn unknown_symbols_are_named() {
        for text in [
            "${peer_host:b/p2p}",
            "${peer_port:a/p2p}",
            "${host:b}",
            "${control:b}",
            "${port:a/p2p}",
            "${port:a}",
            "${hots:a}",
            "${host:a",
            "${",
        ] {
            let error = bindings().resolve("a", &format!("x{text}")).unwrap_err();
            assert_eq!(error, RenderError { node: "a".into(), symbol: text.into() }, "{text}");
        }
    }
}
