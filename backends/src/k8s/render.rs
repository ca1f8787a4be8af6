//! What a plan becomes in Kubernetes, as data: bindings, and the objects of a namespace. Nothing is touched here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use logos_scenario_runtime::plan::{Binding, Bindings, Plan, PlannedFile, PlannedNode, Protocol};
use serde_json::{Value, json};

use super::labels::{CLUSTER, NODE, Names};
use crate::env::Settings;
use crate::planned;
use crate::relay::control;
use crate::relay::ways::{self, RELAY};

mod relayed;

/// The headless Service whose names the nodes' pods have.
const PEERS: &str = "peers";
/// The container of a node in its pod.
pub(super) const CONTAINER: &str = "node";
/// Where a node finds its files and keeps its data: all else is read-only.
const DIRECTORY: &str = "/node";
/// The identity of pods, which may do nothing.
const ACCOUNT: &str = "nodes";
/// How long a node that was asked to end may take, in seconds.
const GRACE: u64 = 5;
/// The user that nodes run as, unless their data is in folders of the cluster's machines, which are root's.
const NOBODY: u32 = 65534;
/// Folders below here are removed by Kubernetes itself once nobody claims them.
const FOLDERS: &str = "/tmp";

/// Where data that outlives a pod is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// In volumes of a storage class; the default one where none is named.
    Class(Option<String>),
    /// In folders of the cluster's machines, where there is no storage class: node *i* on machine *i* of these.
    Folders(Vec<String>),
}

/// What all pods have in common, as texts that stand in the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) image: String,
    pub(super) relay_image: String,
    pub(super) pull_policy: String,
    /// Bytes, or with a unit.
    pub(super) memory: String,
    pub(super) requested_memory: String,
    /// In cores.
    pub(super) cpus: Option<String>,
    /// Reaches nodes from outside through ports of the cluster's machines.
    pub(super) node_ports: bool,
}

impl Look {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            image: settings.image.clone(),
            relay_image: settings.relay_image.clone(),
            pull_policy: settings.pull_policy.clone(),
            memory: settings.node_memory.to_string(),
            // What a node may need for a moment need not be set aside for it all the time.
            requested_memory: (settings.node_memory / 8).to_string(),
            cpus: settings.node_cpus.map(|cores| format!("{cores}")),
            node_ports: settings.node_host.is_some(),
        }
    }
}

/// The objects of a cluster, in the order in which they are made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Objects {
    pub(super) namespace: Value,
    /// What the nodes' pods need.
    pub(super) needed: Vec<Value>,
    /// The claims to where nodes keep their data.
    pub(super) claims: Vec<Value>,
    /// What the claims get, in their order, where there is nobody to make it.
    pub(super) folders: Vec<Value>,
    /// What carries what nodes send each other; none where they do so by themselves.
    pub(super) relay: Option<Value>,
    /// The nodes, in the plan's order.
    pub(super) nodes: Vec<Value>,
}

impl Objects {
    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        let Self { namespace, needed, claims, folders, relay, nodes } = self;
        [namespace].into_iter().chain(needed).chain(claims).chain(folders).chain(relay).chain(nodes)
    }
}

/// The pod of a node, of which there is never more than one.
pub(super) fn pod(node: &str) -> String {
    format!("{node}-0")
}

/// The name under which other pods reach that of a node.
fn host(node: &str) -> String {
    format!("{}.{PEERS}", pod(node))
}

/// Binds every node to the name of its pod, which is the same in every namespace; every port keeps its number.
pub(super) fn bindings(plan: &Plan, start_time: SystemTime) -> Bindings {
    let everywhere = || "0.0.0.0".to_owned();
    let binding = |_, node: &PlannedNode| Binding {
        listen: everywhere(),
        control: everywhere(),
        ..Binding::new(host(&node.name), node, DIRECTORY)
    };
    Bindings {
        start_time: planned::to_whole_milliseconds(start_time),
        relay: ways::bindings(plan, |_| host(RELAY)),
        ..Bindings::new(plan, binding)
    }
}

/// TCP ports by the names of the nodes that have them.
pub(super) type Ports = BTreeMap<String, Vec<u16>>;

/// What is reached from outside: nodes, and the relay.
pub(super) fn reached(plan: &Plan) -> Ports {
    let nodes = plan.nodes.iter().map(|node| (node.name.clone(), tcp_ports(node).collect()));
    nodes.chain(plan.relayed.then(|| (RELAY.to_owned(), vec![control::PORT]))).collect()
}

/// The objects of a plan's rendered nodes.
pub(super) fn objects(
    plan: &Plan,
    rendered: &[PlannedNode],
    names: &Names,
    look: &Look,
    storage: &Storage,
    settings: &Settings,
) -> Objects {
    let maker = Maker { names, look, storage, settings };
    let mut needed = vec![maker.account(), maker.peers(), maker.deny_others(plan)];
    needed.extend(plan.relayed.then(|| maker.let_reach_relay()));
    needed.extend(rendered.iter().map(|node| maker.files(node, &node.name)));
    if look.node_ports {
        needed.extend(reached(plan).iter().map(|(name, ports)| maker.node_port(name, ports)));
    }
    let nodes = rendered.iter().map(|node| maker.node(node, &node.name)).collect();
    let claims = rendered.iter().map(|node| maker.claim(node)).collect();
    let folders = rendered.iter().enumerate();
    let folders = folders.filter_map(|(index, node)| maker.folder(index, node)).collect();
    let relay = plan.relayed.then(|| maker.relay(plan));
    Objects { namespace: maker.namespace(), needed, claims, folders, relay, nodes }
}

impl Objects {
    /// Lets a node of this index be what it is planned anew: its files, under a name that no earlier ones have, and its
    /// set, of which only the pods to come are by that.
    pub(super) fn replan(
        &mut self,
        (index, number): (usize, usize),
        node: &PlannedNode,
        names: &Names,
        look: &Look,
        storage: &Storage,
        settings: &Settings,
    ) -> (Value, Value) {
        let maker = Maker { names, look, storage, settings };
        let secret = format!("{}-{number}", node.name);
        let (files, set) = (maker.files(node, &secret), maker.node(node, &secret));
        let is_files_of_it = |object: &Value| {
            object["kind"] == "Secret" && object["metadata"]["labels"][NODE] == node.name.as_str()
        };
        if let Some(object) = self.needed.iter_mut().find(|object| is_files_of_it(object)) {
            object.clone_from(&files);
        }
        self.nodes[index].clone_from(&set);
        (files, set)
    }
}

#[derive(Clone, Copy)]
struct Maker<'a> {
    names: &'a Names,
    look: &'a Look,
    storage: &'a Storage,
    settings: &'a Settings,
}

impl Maker<'_> {
    /// An object of the cluster's namespace, and of a node where it is one's.
    fn object(&self, api: &str, kind: &str, name: &str, node: Option<&str>, rest: Value) -> Value {
        let mut object = json!({
            "apiVersion": api,
            "kind": kind,
            "metadata": { "name": name, "namespace": self.names.cluster, "labels": self.labels(node) },
        });
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        object
    }

    fn labels(&self, node: Option<&str>) -> BTreeMap<String, String> {
        let node = node.map(|node| (NODE.to_owned(), node.to_owned()));
        self.names.labels.clone().into_iter().chain(node).collect()
    }

    /// Names the level of the pod security standards that every pod of the cluster keeps to.
    fn namespace(&self) -> Value {
        let mut labels = self.labels(None);
        let level = match self.storage {
            Storage::Class(_) => "restricted",
            Storage::Folders(_) => "baseline",
        };
        labels.insert("pod-security.kubernetes.io/enforce".to_owned(), level.to_owned());
        let metadata = json!({ "name": self.names.cluster, "labels": labels });
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })
    }

    fn account(&self) -> Value {
        let rest = json!({ "automountServiceAccountToken": false });
        self.object("v1", "ServiceAccount", ACCOUNT, None, rest)
    }

    /// Gives every pod a name at once, since a node is ready only when it has found its peers.
    fn peers(&self) -> Value {
        let spec = json!({
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": { CLUSTER: self.names.cluster },
        });
        self.object("v1", "Service", PEERS, None, json!({ "spec": spec }))
    }

    /// Lets nodes be reached by each other only, or by their relay only, where the network enforces it; a port-forward
    /// comes from within.
    fn deny_others(&self, plan: &Plan) -> Value {
        let from = if plan.relayed { json!({ "matchLabels": { NODE: RELAY } }) } else { json!({}) };
        let mut ingress = vec![json!({ "from": [{ "podSelector": from }] })];
        if self.look.node_ports {
            let numbers: BTreeSet<u16> = reached(plan).into_values().flatten().collect();
            let port = |number: &u16| json!({ "port": number, "protocol": "TCP" });
            ingress.push(json!({ "ports": numbers.iter().map(port).collect::<Vec<_>>() }));
        }
        let spec = json!({ "podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress });
        self.object("networking.k8s.io/v1", "NetworkPolicy", "deny-others", None, json!({ "spec": spec }))
    }

    fn files(&self, node: &PlannedNode, secret: &str) -> Value {
        let files: BTreeMap<_, _> = node.files.iter().map(|file| (key(file), &file.text)).collect();
        self.object("v1", "Secret", secret, Some(&node.name), json!({ "stringData": files }))
    }

    /// The volume that a node's claim gets, where there is nobody to make one.
    fn folder(&self, index: usize, node: &PlannedNode) -> Option<Value> {
        let Storage::Folders(machines) = self.storage else { return None };
        let name = format!("{}-{}", self.names.cluster, node.name);
        let machine = &machines[index % machines.len()];
        let here = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [machine] });
        let spec = json!({
            "capacity": { "storage": "1Gi" },
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": self.names.cluster,
                "name": node.name,
            },
            "hostPath": { "path": format!("{FOLDERS}/{name}"), "type": "DirectoryOrCreate" },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [here] }] } },
        });
        let metadata = json!({ "name": name, "labels": self.labels(Some(&node.name)) });
        Some(json!({ "apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec }))
    }

    fn claim(&self, node: &PlannedNode) -> Value {
        let mut spec = json!({
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } },
        });
        match self.storage {
            Storage::Class(None) => {}
            Storage::Class(Some(class)) => spec["storageClassName"] = class.as_str().into(),
            Storage::Folders(_) => {
                spec["storageClassName"] = "".into();
                // It must not get a volume that somebody made for somebody else.
                let own = json!({ NODE: node.name, CLUSTER: self.names.cluster });
                spec["selector"] = json!({ "matchLabels": own });
            }
        }
        self.object("v1", "PersistentVolumeClaim", &node.name, Some(&node.name), json!({ "spec": spec }))
    }

    /// Opens TCP ports of a node, or of the relay, on every machine of the cluster, at numbers that the cluster chooses.
    fn node_port(&self, name: &str, ports: &[u16]) -> Value {
        let port = |number: &u16| json!({ "name": format!("p{number}"), "port": number, "protocol": "TCP" });
        let spec = json!({
            "type": "NodePort",
            "selector": { NODE: name, CLUSTER: self.names.cluster },
            "publishNotReadyAddresses": true,
            "ports": ports.iter().map(port).collect::<Vec<_>>(),
        });
        self.object("v1", "Service", name, Some(name), json!({ "spec": spec }))
    }

    fn node(&self, node: &PlannedNode, secret: &str) -> Value {
        let labels = self.labels(Some(&node.name));
        let spec = json!({
            "replicas": u8::from(!node.late),
            "serviceName": PEERS,
            "podManagementPolicy": "Parallel",
            "updateStrategy": { "type": "OnDelete" },
            "selector": { "matchLabels": { NODE: node.name, CLUSTER: self.names.cluster } },
            "template": { "metadata": { "labels": labels }, "spec": self.pod(node, secret) },
        });
        self.object("apps/v1", "StatefulSet", &node.name, Some(&node.name), json!({ "spec": spec }))
    }

    fn pod(&self, node: &PlannedNode, secret: &str) -> Value {
        let user = match self.storage {
            Storage::Class(_) => nobody(),
            Storage::Folders(_) => json!({ "runAsUser": 0, "seccompProfile": { "type": "RuntimeDefault" } }),
        };
        json!({
            "serviceAccountName": ACCOUNT,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE,
            "securityContext": user,
            "containers": [self.container(node)],
            "volumes": [
                { "name": "data", "persistentVolumeClaim": { "claimName": node.name } },
                { "name": "files", "secret": { "secretName": secret, "defaultMode": 0o444 } },
                { "name": "tmp", "emptyDir": { "medium": "Memory" } },
            ],
        })
    }

    fn container(&self, node: &PlannedNode) -> Value {
        let variable = |(name, value): (String, String)| json!({ "name": name, "value": literal(&value) });
        let environment = planned::environment(node, self.settings).into_iter().map(variable);
        let port = |port: &logos_scenario_runtime::plan::PlannedPort| {
            let protocol = match port.protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
            };
            json!({ "containerPort": port.number, "protocol": protocol })
        };
        let mounts = node.files.iter().map(|file| {
            let place = format!("{DIRECTORY}/{}", file.path.display());
            json!({ "name": "files", "mountPath": place, "subPath": key(file), "readOnly": true })
        });
        let data = json!({ "name": "data", "mountPath": DIRECTORY });
        let temporary = json!({ "name": "tmp", "mountPath": "/tmp" });
        let mounts: Vec<_> = [data, temporary].into_iter().chain(mounts).collect();
        let mut container = json!({
            "name": CONTAINER,
            "image": node.image.as_ref().unwrap_or(&self.look.image),
            "imagePullPolicy": self.look.pull_policy,
            "command": [literal(&node.executable.program)],
            "args": node.args.iter().map(|arg| literal(arg)).collect::<Vec<_>>(),
            "workingDir": DIRECTORY,
            "env": environment.collect::<Vec<_>>(),
            "ports": node.ports.iter().map(port).collect::<Vec<_>>(),
            "resources": self.resources(),
            "securityContext": confined(),
            "volumeMounts": mounts,
        });
        if let Some(port) = answering(node) {
            container["readinessProbe"] = json!({ "tcpSocket": { "port": port }, "periodSeconds": 1 });
        }
        container
    }

    fn resources(&self) -> Value {
        let mut limits = json!({ "memory": self.look.memory });
        if let Some(cpus) = &self.look.cpus {
            limits["cpu"] = cpus.as_str().into();
        }
        json!({ "limits": limits, "requests": { "memory": self.look.requested_memory, "cpu": "10m" } })
    }
}

/// Who runs in a pod, if not root.
fn nobody() -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": NOBODY,
        "runAsGroup": NOBODY,
        "fsGroup": NOBODY,
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

/// What any container may do.
fn confined() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    })
}

/// The port at which a node that is ready takes connections.
fn answering(node: &PlannedNode) -> Option<u16> {
    let http = node.ports.iter().find(|port| port.name == "http").map(|port| port.number);
    http.or_else(|| tcp_ports(node).next())
}

fn tcp_ports(node: &PlannedNode) -> impl Iterator<Item = u16> {
    node.ports.iter().filter(|port| port.protocol == Protocol::Tcp).map(|port| port.number)
}

/// What a file is called in its Secret.
fn key(file: &PlannedFile) -> String {
    file.path.display().to_string().replace('/', ".")
}

/// A text in which Kubernetes finds no variable.
fn literal(text: &str) -> String {
    text.replace("$(", "$$(")
}

/// Objects as the text of one file, with what comes before them.
pub(super) fn to_text<'a>(head: &str, objects: impl Iterator<Item = &'a Value>) -> String {
    let yaml = |object| serde_saphyr::to_string(object).expect("objects are plain data");
    let documents = objects.map(|object| format!("---\n{}", yaml(object)));
    [head.to_owned()].into_iter().chain(documents).collect()
}

#[cfg(test)]
pub(super) mod tests;
