//! What people are told of the ledger: what a client waits for, and which clusters there are.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cluster::{Cluster, Stage};
use super::{Client, ClusterId, Ledger, Waiter, Wish};
use crate::case::Sharing;

/// A cluster as `--clusters` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// Its number, once its deployment has begun.
    pub(crate) cluster: Option<ClusterId>,
    /// Its key, as far as people need it.
    pub(crate) key: String,
    pub(crate) nodes: usize,
    /// `waiting` for room, `deploying`, `ready` or `ending`.
    pub(crate) stage: Stage,
    /// Seconds since it was asked for.
    pub(crate) age: f64,
    /// Seconds since nobody uses it.
    pub(crate) idle: Option<f64>,
    /// Seconds for which it stays to be looked at.
    #[serde(default)]
    pub(crate) kept: Option<f64>,
    /// The pids of the invocations for which it lives; none where it only lingers.
    pub(crate) owners: Vec<u32>,
    /// Leases that were granted so far.
    pub(crate) granted: u64,
    pub(crate) holders: Vec<Holder>,
    /// Who waits for it.
    pub(crate) waiting: Vec<Waits>,
    /// Why it is used no more.
    pub(crate) poison: Option<String>,
    /// The host's process.
    #[serde(default)]
    pub(crate) keeper: u32,
    #[serde(default)]
    pub(crate) backend: String,
    #[serde(default)]
    pub(crate) directory: String,
}

/// Who waits for a lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Waits {
    pub(crate) case: String,
    pub(crate) pid: u32,
    /// Seconds since it asked.
    pub(crate) seconds: f64,
}

/// Who has a lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) case: String,
    pub(crate) pid: u32,
    pub(crate) sharing: Sharing,
    /// Seconds since it was granted.
    pub(crate) seconds: f64,
}

impl Ledger {
    /// Those who wait, and what for.
    pub(crate) fn waits(&self) -> impl Iterator<Item = (Client, String)> {
        self.waiting.iter().map(|waiter| {
            let served = self.clusters.iter().find(|(id, cluster)| waiter.is_served_by(**id, cluster));
            let what = match served {
                Some((_, cluster)) => cluster.waited_for(),
                None => self.lacking(waiter.wish.nodes),
            };
            (waiter.client, what)
        })
    }

    /// Who waits longest for a cluster.
    pub(crate) fn waiter_for(&self, id: ClusterId) -> Option<Client> {
        let cluster = self.clusters.get(&id)?;
        self.waiting.iter().find(|waiter| waiter.is_served_by(id, cluster)).map(|waiter| waiter.client)
    }

    fn lacking(&self, nodes: usize) -> String {
        let used: usize = self.clusters.values().map(|cluster| cluster.nodes).sum();
        let most = self.most;
        if used + nodes <= most {
            return format!("waiting for room: {nodes} nodes, for which others wait longer");
        }
        let by = self.clusters.iter().map(|(&id, cluster)| self.room_of(id, cluster));
        let by = by.collect::<Vec<_>>().join("; ");
        format!("waiting for room: {nodes} nodes, while {used} of {most} are used: {by}")
    }

    /// How many nodes a cluster has, and why it has them now.
    fn room_of(&self, id: ClusterId, cluster: &Cluster) -> String {
        let (nodes, key) = (cluster.nodes, short(&cluster.key));
        let waiting = self.waiting.iter().filter(|waiter| waiter.is_served_by(id, cluster));
        let waiting = || waiting.map(|waiter| waiter.wish.case.clone()).collect::<Vec<_>>();
        let why = match cluster.stage {
            Stage::Ending => "which ends".to_owned(),
            Stage::Waiting => format!("which waits for room as well, for {}", named(&waiting())),
            Stage::Deploying => format!("which is deployed for {}", named(&waiting())),
            Stage::Ready if !cluster.leases.is_empty() => format!("used by {}", named(&cluster.cases())),
            Stage::Ready if cluster.is_kept(self.now) => format!(
                "kept to be looked at after {} (`kill {}` removes it, and all others of its keeper)",
                named(&cluster.kept_for),
                std::process::id()
            ),
            Stage::Ready if cluster.is_unused() => "which nobody uses".to_owned(),
            Stage::Ready => "which is looked over".to_owned(),
        };
        format!("{nodes} of cluster {key}, {why}")
    }

    /// All clusters, and those for which there is no room yet.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let listed = |(&id, cluster): (&ClusterId, &Cluster)| {
            let waiting = self.waiting.iter().filter(|waiter| waiter.is_served_by(id, cluster));
            let since = |then: Duration| self.now.saturating_sub(then).as_secs_f64();
            let holder = |lease: &super::Lease| Holder {
                case: lease.case.clone(),
                pid: lease.pid,
                sharing: lease.sharing,
                seconds: since(lease.since),
            };
            Listed {
                cluster: Some(id),
                key: short(&cluster.key),
                nodes: cluster.nodes,
                stage: cluster.stage,
                age: since(cluster.since),
                idle: cluster.idle_since.map(since),
                kept: cluster.kept_until.map(|until| until.saturating_sub(self.now).as_secs_f64()),
                granted: cluster.granted,
                holders: cluster.leases.values().map(holder).collect(),
                owners: cluster.owners.iter().map(|owner| owner.pid).collect(),
                waiting: waiting.map(|waiter| self.waits_since(waiter)).collect(),
                poison: cluster.poison.as_ref().map(ToString::to_string),
                keeper: std::process::id(),
                backend: String::new(),
                directory: String::new(),
            }
        };
        self.clusters.iter().map(listed).chain(self.unbegun()).collect()
    }

    fn waits_since(&self, waiter: &Waiter) -> Waits {
        let Wish { case, pid, .. } = &waiter.wish;
        Waits { case: case.clone(), pid: *pid, seconds: self.now.saturating_sub(waiter.since).as_secs_f64() }
    }

    /// Clusters that are waited for and not begun, for want of room.
    fn unbegun(&self) -> impl Iterator<Item = Listed> {
        let unserved = |waiter: &&Waiter| !self.clusters.iter().any(|(&id, it)| waiter.is_served_by(id, it));
        let mut unbegun: BTreeMap<(&str, Option<Client>), Listed> = BTreeMap::new();
        for waiter in self.waiting.iter().filter(unserved) {
            let alone = (waiter.wish.sharing == Sharing::Fresh).then_some(waiter.client);
            let listed = unbegun.entry((&waiter.wish.key, alone)).or_insert_with(|| Listed {
                cluster: None,
                key: short(&waiter.wish.key),
                nodes: waiter.wish.nodes,
                stage: Stage::Waiting,
                age: self.now.saturating_sub(waiter.since).as_secs_f64(),
                idle: None,
                kept: None,
                owners: Vec::new(),
                granted: 0,
                holders: Vec::new(),
                waiting: Vec::new(),
                poison: None,
                keeper: std::process::id(),
                backend: String::new(),
                directory: String::new(),
            });
            listed.owners.extend(self.owner(waiter.client).map(|owner| owner.pid));
            listed.owners.sort_unstable();
            listed.owners.dedup();
            listed.waiting.push(self.waits_since(waiter));
        }
        unbegun.into_values()
    }
}

/// As much of a key as people need.
fn short(key: &str) -> String {
    key.chars().take(12).collect()
}

impl Cluster {
    fn cases(&self) -> Vec<String> {
        self.leases.values().map(|lease| lease.case.clone()).collect()
    }

    fn waited_for(&self) -> String {
        let key = short(&self.key);
        match self.stage {
            Stage::Waiting => {
                let others = self.others.as_deref().unwrap_or("others use theirs");
                format!("waiting for room: {} nodes, while {others}", self.nodes)
            }
            Stage::Deploying => format!("deploying; nodes: {}", self.nodes),
            _ if self.leases.is_empty() => format!("waiting for cluster {key}, which is looked over"),
            _ => format!("waiting for cluster {key}, used by {}", named(&self.cases())),
        }
    }
}

impl std::fmt::Display for super::Poison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "after {}: {}", named(&self.culprits), named(&self.reasons))
    }
}

impl std::fmt::Display for super::Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::First => "first of its key",
            Self::Fresh => "for one case alone",
            Self::Poisoned => "after one that went bad",
            Self::UsedUp => "after one that ran out of accounts",
            Self::GivenUp => "after one that nobody used any more",
            Self::MadeRoom => "after one that others lacked the room of",
            Self::Failed => "after one that could not be made",
            Self::KeeperLost => "after a keeper that ended",
        })
    }
}

/// Names in one line, the last ones if there are many.
pub(crate) fn named(cases: &[String]) -> String {
    const MOST: usize = 10;
    let mut cases = cases.to_vec();
    cases.dedup();
    let skipped = cases.len().saturating_sub(MOST);
    let shown = cases[skipped..].join(", ");
    if skipped == 0 { shown } else { format!("{skipped} others, {shown}") }
}
