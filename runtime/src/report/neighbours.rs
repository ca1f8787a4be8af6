//! With whom a run shared its cluster, and what that had to do with its verdict.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::pool::{Granted, Poison, Released, named};

/// The cluster of a run as far as others had to do with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Neighbours {
    /// Where the cluster's logs and configurations are.
    pub directory: Option<PathBuf>,
    /// The number of the run's lease.
    pub lease: u64,
    /// The cases that used the cluster before this one or beside it.
    pub others: Vec<String>,
    /// Why the cluster is used no more, and after whom.
    pub poison: Option<String>,
    /// Why the cluster was made; nothing where it was there before, for another case.
    #[serde(default)]
    pub made: Option<String>,
    /// What became of the cluster that this one stands in for.
    pub replaces: Option<String>,
    /// Where the nodes of a cluster that is kept answer, and how it is removed.
    #[serde(default)]
    pub kept: Option<String>,
    /// Whether the scenario failed on a cluster of its own, too.
    pub alone: Option<String>,
    /// How many keepers ended while the case waited for its cluster.
    pub keepers_lost: usize,
}

impl Neighbours {
    pub(crate) fn leased(&mut self, granted: &Granted) {
        self.directory = Some(granted.directory.clone());
        self.lease = granted.grant.number;
        self.others.clone_from(&granted.grant.others);
        self.made = granted.grant.made.map(|reason| reason.to_string());
        self.replaces = granted.grant.replaces.as_ref().map(Poison::to_string);
    }

    pub(crate) fn released(&mut self, released: Released) {
        self.others = released.others;
        self.poison = released.poison.map(|poison| poison.to_string());
    }

    /// What a reader of a failure should know, a line each.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        let alone = self.alone.clone();
        let users = (!self.others.is_empty() && alone.is_none())
            .then(|| format!("its cluster was also used by {}", named(&self.others)));
        let poison = self.poison.as_ref().map(|poison| format!("its cluster is used no more, {poison}"));
        let replaces = self
            .replaces
            .as_ref()
            .map(|poison| format!("its cluster stands in for one that went bad {poison}"));
        [alone, users, poison, replaces, self.kept.clone()].into_iter().flatten()
    }
}
