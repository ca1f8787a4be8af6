//! Names and labels: by these, a cluster is found again by its owner, by `kubectl`, and by whoever sweeps up after an
//! owner that is gone.

use std::collections::BTreeMap;

use logos_scenario_runtime::deployer::Placement;

use crate::owner::{Owner, now};

/// Label of all that belongs to a cluster, with its name.
pub(super) const CLUSTER: &str = "logos-scenario.cluster";
/// Label of all that belongs to one node, with its name.
pub(super) const NODE: &str = "logos-scenario.node";
/// Annotation of a namespace: the process that made it, see [`Owner`].
pub(super) const OWNER: &str = "logos-scenario.owner";
/// Annotation of a namespace: until when its owner said it would live, in seconds since 1970.
pub(super) const LEASE: &str = "logos-scenario.lease-until";
/// How long a lease is, in seconds.
pub(super) const LEASE_SECONDS: u64 = 120;

/// One cluster in Kubernetes: its name, which is that of its namespace, and the labels of all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) cluster: String,
    pub(super) labels: BTreeMap<String, String>,
}

impl Names {
    /// Names with a random number that nobody else has.
    pub(super) fn new(number: u32, key: &str, place: &Placement) -> Self {
        let cluster = format!("logos-scenario-{number:08x}");
        let given = place.labels.iter().map(|(label, text)| (format!("logos-scenario.{label}"), value(text)));
        let mut labels: BTreeMap<_, _> = given.collect();
        labels.insert(CLUSTER.to_owned(), cluster.clone());
        labels.insert("logos-scenario.key".to_owned(), value(key));
        Self { cluster, labels }
    }
}

/// What selects all that belongs to a cluster.
pub(super) fn selector(cluster: &str) -> String {
    format!("{CLUSTER}={cluster}")
}

/// Says that this process is the owner, and lives.
pub(super) fn lease() -> BTreeMap<String, String> {
    let until = now() + LEASE_SECONDS;
    [(OWNER, Owner::this().to_string()), (LEASE, until.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// A text as the value of a label: at most 63 characters, of which Kubernetes takes few.
fn value(text: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let value: String = text.chars().take(63).map(allowed).collect();
    value.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_label() {
        assert_eq!(value("2026-01-02T03:04:05/ü-"), "2026-01-02T03-04-05");
        assert_eq!(value(&"0a".repeat(40)).len(), 63);
    }

    #[test]
    fn a_cluster_has_its_place_s_labels() {
        let labels = [("invocation".to_owned(), "run/7".to_owned())].into();
        let names = Names::new(7, "abc", &Placement { directory: "/run".into(), labels });
        assert_eq!(names.cluster, "logos-scenario-00000007");
        assert_eq!(names.labels["logos-scenario.invocation"], "run-7");
        assert_eq!(selector(&names.cluster), "logos-scenario.cluster=logos-scenario-00000007");
    }
}
