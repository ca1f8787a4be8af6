//! The relay of a relayed plan, as objects. Nothing is touched here.
//!
//! It is a pod of no set: one that ends must not be started again, with all links as if nobody had cut any.

use std::net::Ipv4Addr;

use logos_scenario_runtime::plan::Plan;
use serde_json::{Value, json};

use super::{ACCOUNT, CONTAINER, GRACE, Maker, PEERS, confined, host, literal, nobody, pod};
use crate::k8s::labels::NODE;
use crate::relay::ways::{self, PROGRAM, RELAY};

impl Maker<'_> {
    /// Lets all pods of the cluster reach the relay, and through it each other.
    pub(super) fn let_reach_relay(&self) -> Value {
        let spec = json!({
            "podSelector": { "matchLabels": { NODE: RELAY } },
            "policyTypes": ["Ingress"],
            "ingress": [{ "from": [{ "podSelector": {} }] }],
        });
        self.object("networking.k8s.io/v1", "NetworkPolicy", "reach-relay", None, json!({ "spec": spec }))
    }

    /// The pod that carries what the nodes of a plan send each other, named and followed like those of nodes.
    pub(super) fn relay(&self, plan: &Plan) -> Value {
        let ways = ways::argument(plan, |_| Ipv4Addr::UNSPECIFIED.into(), host);
        let container = json!({
            "name": CONTAINER,
            "image": self.look.relay_image,
            "imagePullPolicy": self.look.pull_policy,
            "command": [PROGRAM],
            "args": [literal(&ways)],
            "workingDir": "/",
            "resources": self.resources(),
            "securityContext": confined(),
        });
        let spec = json!({
            "hostname": pod(RELAY),
            "subdomain": PEERS,
            "restartPolicy": "Never",
            "serviceAccountName": ACCOUNT,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE,
            "securityContext": nobody(),
            "containers": [container],
        });
        self.object("v1", "Pod", &pod(RELAY), Some(RELAY), json!({ "spec": spec }))
    }
}
