//! A cluster that somebody else runs, in a file that somebody wrote: where its nodes answer, and nothing besides.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use serde::Deserialize;

use crate::deployer::{ClusterDescription, DeployError, NodeEndpoints};
use crate::env::http_url;
use crate::node::{ConsensusInfo, HttpDialect, HttpTransport, NodeClient};
use crate::plan::{Plan, PlannedNode};
use crate::scenario::installed_program;
use crate::topology::Role;

/// Why there are no accounts.
pub(super) const NO_ACCOUNTS: &str =
    "SCENARIO_ATTACH names a cluster that was described by hand: nobody here has keys of its accounts";
/// What such a file looks like.
pub(super) const SHAPE: &str = "or write one by hand: {\"nodes\": [{\"name\": \"validator-0\", \"role\": \"validator\", \
                                \"url\": \"http://10.0.0.7:18080\"}]}";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ByHand {
    /// For which backend's cases it stands.
    #[serde(default = "local")]
    pub(super) backend: String,
    nodes: Vec<Node>,
}

fn local() -> String {
    "local".to_owned()
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    /// The name in the scenario's topology.
    name: String,
    role: Role,
    /// Where its HTTP answers.
    url: String,
    /// Where its paths for tests do, if it has such.
    #[serde(default)]
    testing_url: Option<String>,
    /// Its log, where that is a file of this machine.
    #[serde(default)]
    log: String,
}

impl ByHand {
    /// Reads the file, or tells all that is wrong with it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut problems = Vec::new();
        if read.nodes.is_empty() {
            problems.push("nodes: there is none, expected those of the cluster".to_owned());
        }
        for (index, node) in read.nodes.iter().enumerate() {
            if read.nodes[..index].iter().any(|other| other.name == node.name) {
                problems.push(format!("nodes[{index}].name: `{}` is there twice", node.name));
            }
            let urls = [("url", Some(&node.url)), ("testing_url", node.testing_url.as_ref())];
            for (key, url) in urls.into_iter().filter_map(|(key, url)| Some((key, url?))) {
                if let Err(expected) = address(url) {
                    problems.push(format!("nodes[{index}].{key}: `{url}`, expected {expected}"));
                }
            }
        }
        if problems.is_empty() { Ok(read) } else { Err(problems.join("; ")) }
    }

    /// The cluster, if it has the nodes of a plan and all of them answer.
    pub(super) async fn found(
        &self,
        plan: &Plan,
        within: Duration,
    ) -> Result<ClusterDescription, DeployError> {
        self.has_nodes_of(plan)?;
        let program = installed_program();
        let dialect = program.map_or_else(HttpDialect::default, |program| program.http());
        let asked = self.nodes.iter().map(async |node| {
            let base = node.url.trim_end_matches('/');
            let client = NodeClient::new(&node.name, node.role, Arc::new(HttpTransport::new(base)));
            let info = tokio::time::timeout(within, client.consensus_info()).await;
            let lacks = |what: String| {
                let what = format!("does not answer at {}: {what}", node.url);
                DeployError::new(
                    &node.name,
                    what,
                    "start the cluster, or correct the file of SCENARIO_ATTACH",
                )
            };
            match info {
                Ok(Ok(info)) => Ok(info),
                Ok(Err(error)) => Err(lacks(error.to_string())),
                Err(_) => Err(lacks(format!("it says nothing for {} s", within.as_secs()))),
            }
        });
        let infos: Vec<ConsensusInfo> = join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
        // The newest block is of this slot, or of one just before.
        let slot = infos.iter().map(|info| info.slot).max().unwrap_or_default();
        let planned = |planned: &PlannedNode| self.nodes.iter().find(|node| node.name == planned.name);
        let nodes = plan.nodes.iter().filter_map(planned).map(|node| node.endpoints(&dialect)).collect();
        Ok(ClusterDescription {
            start_time: SystemTime::UNIX_EPOCH,
            seen_slot: Some((SystemTime::now(), slot)),
            nodes,
        })
    }

    fn has_nodes_of(&self, plan: &Plan) -> Result<(), DeployError> {
        let mut wanted: Vec<_> = plan.nodes.iter().map(|node| (node.name.as_str(), node.role)).collect();
        let mut named: Vec<_> = self.nodes.iter().map(|node| (node.name.as_str(), node.role)).collect();
        wanted.sort();
        named.sort();
        if wanted == named {
            return Ok(());
        }
        let list = |nodes: &[(&str, Role)]| {
            nodes.iter().map(|(name, role)| format!("{name} ({role})")).collect::<Vec<_>>().join(", ")
        };
        let what = format!("its file names {}, and the scenario has {}", list(&named), list(&wanted));
        let try_next =
            "give the scenario as many validators and executors, and name each node as the scenario does";
        Err(DeployError::new("attached cluster", what, try_next))
    }
}

impl Node {
    fn endpoints(&self, dialect: &HttpDialect) -> NodeEndpoints {
        let testing = dialect.testing_port.iter().zip(&self.testing_url);
        let urls = testing.chain([(&dialect.port, &self.url)]);
        let addresses = urls.filter_map(|(port, url)| Some((port.clone(), address(url).ok()?))).collect();
        NodeEndpoints { name: self.name.clone(), role: self.role, addresses, log: self.log.clone() }
    }
}

/// What stands in a base URL after its scheme; or what was expected.
fn address(url: &str) -> Result<String, String> {
    let parsed = http_url(url)?;
    match parsed.as_str().strip_prefix("http://") {
        Some(address) => Ok(address.trim_end_matches('/').to_owned()),
        None => Err("one that begins with http://".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_roles_and_urls_are_enough() {
        let text = r#"{ "nodes": [{ "name": "validator-0", "role": "validator", "url": "http://node.test:18080/" }] }"#;
        let read = ByHand::read(text).unwrap();
        let endpoints = read.nodes[0].endpoints(&HttpDialect::default());
        assert_eq!(read.backend, "local");
        assert_eq!(endpoints.addresses, [("http".to_owned(), "node.test:18080".to_owned())].into());
    }

    #[test]
    fn all_that_is_wrong_is_told_with_its_place() {
        let told = |text: &str| ByHand::read(text).unwrap_err();
        let wrong = r#"{ "nodes": [
            { "name": "a", "role": "validator", "url": "node.test:18080" },
            { "name": "a", "role": "executor", "url": "https://node.test", "testing_url": "http://" }
        ] }"#;
        assert_eq!(
            told(wrong),
            "nodes[0].url: `node.test:18080`, expected a URL that begins with http:// or https://; nodes[1].name: `a` is \
             there twice; nodes[1].url: `https://node.test`, expected one that begins with http://; \
             nodes[1].testing_url: `http://`, expected a URL (empty host)"
        );
        assert_eq!(told(r#"{ "nodes": [] }"#), "nodes: there is none, expected those of the cluster");
        for (text, expected) in [
            (
                r#"{ "nodes": [{ "name": "a", "role": "validater" }] }"#,
                "unknown variant `validater`, expected `validator` or `executor` at line 1",
            ),
            (
                r#"{ "nodes": [{ "nam": "a" }] }"#,
                "unknown field `nam`, expected one of `name`, `role`, `url`",
            ),
            ("{}", "missing field `nodes`"),
        ] {
            assert!(told(text).contains(expected), "{}", told(text));
        }
    }
}
