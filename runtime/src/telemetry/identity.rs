//! How what nodes send by OTLP is told apart: OpenTelemetry's own variables say who a node is, and where a cluster is
//! one case's own, under which span of it the node's are.

use std::collections::BTreeMap;
use std::path::Path;

use blake2::{Blake2b512, Digest as _};

use crate::plan::Plan;

/// What tells a node from all others, read by OpenTelemetry's libraries.
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
/// The span under which a program's are, in the form of W3C's header.
const PARENT: &str = "TRACEPARENT";

/// The trace of a run, and the span of all of it. They follow from the run's id, so that everybody who knows that
/// knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) id: [u8; 16],
    pub(crate) root: [u8; 8],
}

impl Trace {
    /// Of a run, by invocation, case and attempt.
    pub(crate) fn of(run: &str) -> Self {
        let hash = Blake2b512::digest(run);
        let part = |from: usize| hash[from..].first_chunk().copied();
        Self { id: *hash.first_chunk().expect("a hash is longer"), root: part(16).expect("a hash is longer") }
    }

    /// The span of one part of the run.
    pub(crate) fn span(&self, part: &str) -> [u8; 8] {
        let hash = Blake2b512::new().chain_update(self.id).chain_update(part).finalize();
        *hash.first_chunk().expect("a hash is longer")
    }

    fn parent(&self) -> String {
        format!("00-{}-{}-01", hex::encode(self.id), hex::encode(self.root))
    }
}

/// The name of a cluster, by the folder of its files, which no other cluster of the invocation has.
pub(crate) fn cluster(directory: &Path) -> String {
    let mut parts: Vec<_> =
        directory.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.reverse();
    parts.join(".")
}

/// Tells the nodes of a cluster that they are one case's own.
pub(crate) fn belongs_to(plan: &mut Plan, case: &str, run: &str) {
    let parent = Trace::of(run).parent();
    for node in &mut plan.nodes {
        add(&mut node.env, &[("scenario.case", case)]);
        node.env.entry(PARENT.to_owned()).or_insert_with(|| parent.clone());
    }
}

/// Tells the nodes of a cluster who they are; what a topology says of it itself goes before.
pub(crate) fn introduce(plan: &mut Plan, invocation: &str, directory: &Path) {
    let cluster = cluster(directory);
    for node in &mut plan.nodes {
        let attributes = [
            ("service.instance.id", &*format!("{invocation}/{cluster}/{}", node.name)),
            ("scenario.node", &node.name),
            ("scenario.role", &node.role.to_string()),
            ("scenario.cluster", &cluster),
            ("scenario.invocation", invocation),
        ];
        add(&mut node.env, &attributes);
    }
}

/// Adds attributes before those that are there, of which the last of a name holds.
fn add(env: &mut BTreeMap<String, String>, attributes: &[(&str, &str)]) {
    let own = env.remove(ATTRIBUTES).filter(|own| !own.is_empty());
    let new = attributes.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    let all: Vec<_> = new.chain(own).collect();
    env.insert(ATTRIBUTES.to_owned(), all.join(","));
}

/// A value without what would end it.
fn encoded(value: &str) -> String {
    let is_plain =
        |sign: char| sign.is_ascii_graphic() && !matches!(sign, ',' | '=' | '%' | ';' | '"' | '\\');
    let sign = |sign: char| match is_plain(sign) {
        true => sign.to_string(),
        false => sign.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect(),
    };
    value.chars().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeProgram;
    use crate::topology::Topology;

    fn plan(user: Option<&str>) -> Plan {
        let topology = Topology::with_node_counts(1, 0);
        let topology = match user {
            Some(own) => topology.with_node("validator-0", |node| node.env(ATTRIBUTES, own)),
            None => topology,
        };
        Plan::new("local", &topology.build().unwrap(), &[100], &FakeProgram).unwrap()
    }

    #[test]
    fn nodes_are_told_who_they_are() {
        let mut plan = plan(None);
        introduce(&mut plan, "run-1", Path::new("/target/scenario/run-1/cluster-ab12/3"));
        let env = &plan.nodes[0].env;
        assert_eq!(
            env[ATTRIBUTES],
            "service.instance.id=run-1/cluster-ab12.3/validator-0,scenario.node=validator-0,scenario.role=validator,\
             scenario.cluster=cluster-ab12.3,scenario.invocation=run-1"
        );
        assert!(!env.contains_key(PARENT), "a cluster that many use is in no case's trace");
    }

    #[test]
    fn nodes_of_one_case_are_in_its_trace() {
        let mut plan = plan(Some("team=a"));
        belongs_to(&mut plan, "local::a=b", "run-1/local::a=b/1");
        let env = &plan.nodes[0].env;
        assert_eq!(env[ATTRIBUTES], "scenario.case=local::a%3Db,team=a");
        let Trace { id, root } = Trace::of("run-1/local::a=b/1");
        assert_eq!(env[PARENT], format!("00-{}-{}-01", hex::encode(id), hex::encode(root)));
        assert_ne!(Trace::of("run-1/local::a=b/2").id, id);
    }
}
