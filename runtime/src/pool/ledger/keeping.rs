//! For how long clusters stay: their owners, what is planned, and whom they make room for.

use std::time::Duration;

use super::cluster::{Cluster, Stage};
use super::{Client, ClusterId, Effect, Keeping, Ledger, Reason, Waiter};
use crate::process::Process;

impl Ledger {
    pub(super) fn owned(&mut self, client: Client, owner: Process, keeping: Keeping) {
        self.orphaned = false;
        self.owner_of.insert(client, owner);
        let keeping = self.owners.get(&owner).map_or(keeping, |known| known.or(keeping));
        self.owners.insert(owner, keeping);
        self.adopt();
    }

    /// Gives what lingers to the owners that may have it: nothing their clients may still ask for ends meanwhile.
    fn adopt(&mut self) {
        for (owner, _) in self.owners.iter().filter(|(_, keeping)| !keeping.linger.is_zero()) {
            self.clusters.values_mut().filter(|it| it.lingers.is_some()).for_each(|it| it.keep_for(*owner));
        }
    }

    /// The owner of a client, if it lives.
    pub(super) fn owner(&self, client: Client) -> Option<Process> {
        self.owner_of.get(&client).copied().filter(|owner| self.owners.contains_key(owner))
    }

    pub(super) fn owner_gone(&mut self, owner: Process) {
        let Some(Keeping { linger, .. }) = self.owners.remove(&owner) else { return };
        self.orphaned = self.owners.is_empty();
        self.clusters.values_mut().for_each(|cluster| cluster.owner_gone(owner, linger));
        self.adopt();
    }

    /// Whether nobody uses the cluster, or will if nothing happens.
    pub(super) fn is_idle(&self, id: ClusterId, cluster: &Cluster) -> bool {
        cluster.is_unused() && !waits_for(&self.waiting, id, cluster)
    }

    fn is_planned(&self, key: &str) -> bool {
        self.planned.keys().any(|(_, planned)| planned == key)
    }

    /// When an idle cluster goes if nothing happens.
    pub(super) fn ends_at(&self, cluster: &Cluster) -> Option<Duration> {
        let since = cluster.idle_since.filter(|_| cluster.stage != Stage::Ending)?;
        if let Some(kept_until) = cluster.kept_until {
            return Some(kept_until);
        }
        if !cluster.may_be_used() {
            return Some(since);
        }
        let stays = match cluster.lingers {
            Some(linger) => Some(linger),
            None if self.is_planned(&cluster.key) => None,
            None => self.grace_of(cluster),
        };
        stays.map(|stays| since + stays)
    }

    /// How long a cluster is kept by its owners, of whom one lives, or which never had any.
    fn grace_of(&self, cluster: &Cluster) -> Option<Duration> {
        let mut stays = cluster.linger;
        for Keeping { grace, linger } in cluster.owners.iter().filter_map(|owner| self.owners.get(owner)) {
            stays = stays.max((*grace)?).max(*linger);
        }
        Some(stays)
    }

    /// Tears down what was idle for long enough.
    pub(super) fn end_idle(&mut self) {
        let idle = |(&id, cluster): (&ClusterId, &Cluster)| (id, self.is_idle(id, cluster));
        for (id, idle) in self.clusters.iter().map(idle).collect::<Vec<_>>() {
            let now = self.now;
            let since = |since: Option<Duration>| if idle { since.or(Some(now)) } else { None };
            self.with(id, |cluster| cluster.idle_since = since(cluster.idle_since));
        }
        let due = |(&id, cluster): (&ClusterId, &Cluster)| {
            self.ends_at(cluster).is_some_and(|end| end <= self.now).then_some(id)
        };
        for id in self.clusters.iter().filter_map(due).collect::<Vec<_>>() {
            self.end(id);
        }
    }

    fn end(&mut self, cluster: ClusterId) {
        self.with(cluster, |cluster| cluster.stage = Stage::Ending);
        self.effects.push(Effect::TearDown { cluster });
    }

    /// Ends the cluster that can be spared best: one that nobody plans to use, idle for longest. Only the first
    /// `ahead` of those who wait can keep a cluster that was used before. Whether there was one.
    pub(super) fn evict_one(&mut self, ahead: usize) -> bool {
        let is_waited_for = |id, cluster: &Cluster| waits_for(&self.waiting, id, cluster);
        let is_spared = |id, cluster: &Cluster| {
            let waiting = if cluster.granted > 0 { &self.waiting[..ahead] } else { &self.waiting[..] };
            cluster.is_unused() && !waits_for(waiting, id, cluster)
        };
        let spared = (self.clusters.iter())
            .filter(|(_, cluster)| cluster.stage != Stage::Ending && !cluster.is_kept(self.now))
            .filter(|(id, cluster)| is_spared(**id, cluster));
        let is_planned = |cluster: &Cluster| cluster.lingers.is_none() && self.is_planned(&cluster.key);
        let best = spared.min_by_key(|(id, cluster)| {
            (is_waited_for(**id, cluster), is_planned(cluster), cluster.idle_since)
        });
        let Some((&id, _)) = best else { return false };
        self.end(id);
        true
    }

    /// Makes room for somebody elsewhere: what nobody uses ends; where all is in use, and so many leases were granted
    /// since the room is lacked, the oldest is granted no more.
    pub(super) fn make_room(&mut self) {
        let grants = self.wanted_for.unwrap_or(0);
        let ended = self.evict_one(self.waiting.len());
        let retires = !ended && grants >= self.patience;
        self.wanted_for = Some(if ended || retires { 0 } else { grants });
        if retires {
            let gives = |it: &Cluster| it.granted > 0 && it.may_be_used() && !it.is_kept(self.now);
            let oldest = self.clusters.iter().find(|(_, cluster)| gives(cluster)).map(|(&id, _)| id);
            oldest.into_iter().for_each(|id| self.with(id, |it| it.retired = Some(Reason::MadeRoom)));
        }
    }
}

/// Whether any of them will get the cluster, if nothing happens to it.
fn waits_for(waiting: &[Waiter], id: ClusterId, cluster: &Cluster) -> bool {
    waiting.iter().any(|waiter| waiter.is_served_by(id, cluster))
}
