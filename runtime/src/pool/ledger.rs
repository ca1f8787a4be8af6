//! Who may use which cluster when: the protocol of leases, data in and data out.
//!
//! The ledger starts, awaits and ends nothing. Its [host](super::host) tells it what happened and when, and
//! does what it answers. Whatever happened, what follows from the state is worked out anew, in one place:
//! [`Ledger::settle`].
//!
//! | what happened | what follows |
//! |---|---|
//! | [`Attach`](Event::Attach) | a grant, if its cluster is ready and may be used so; else the client waits, in the order of arrival. A key nobody has a cluster of, and every fresh wish, gets one deployed: the longest queue first. What could never fit is refused, or not for as long as others are kept |
//! | [`LacksRoom`](Event::LacksRoom) | those who wait are told |
//! | [`Deployed`](Event::Deployed) | grants to those who wait |
//! | [`DeployFailed`](Event::DeployFailed) | a refusal to those who wait for it |
//! | [`Draw`](Event::Draw) | accounts of the lease's cluster that nobody had |
//! | [`Release`](Event::Release), [`Gone`](Event::Gone) | the gate; but a lease that failed, or held a cluster alone and died, poisons it, and whoever overlapped with it is to blame as well |
//! | [`Gated`](Event::Gated) | those who left are told; a cluster that did not pass is poisoned |
//! | [`Planned`](Event::Planned), [`Time`](Event::Time) | clusters that nobody uses or will use are torn down |
//! | [`RoomWanted`](Event::RoomWanted) | the idle cluster that was used longest ago is torn down; where none is idle after so many grants, the oldest is granted no more and goes with its last lease |
//! | [`Keep`](Event::Keep) | the lease's cluster stays for an hour, whatever becomes of lease and owner; whoever would have to wait for its room is refused |
//! | [`Owned`](Event::Owned) | clusters stay for another owner too: of several that keep one, the most generous counts |
//! | [`OwnerGone`](Event::OwnerGone) | its idle clusters stay for as long as it lets them linger, and are only for owners that let clusters linger, too; with the last of them goes the host |
//! | [`TornDown`](Event::TornDown) | room; those who left last are told |
//!
//! What holds at any time:
//!
//! 1. An exclusive lease is the only one of its cluster, a fresh one the only one it ever has.
//! 2. Nobody gets a cluster on which a scenario failed, or which did not pass its last gate.
//! 3. No account of a cluster is given twice.
//! 4. Clusters have no more nodes together than there may be.
//! 5. Leases of a key are granted in the order in which they were asked for: neither exclusive nor shared
//!    ones starve. Nor does a key: who lacks room is overtaken a bounded number of times, and then nobody who came
//!    later gets a cluster that was used before, so that there will be room. Who lacks it elsewhere is overtaken as
//!    often, and then a cluster makes room.
//! 6. Whoever asks is answered once, and whoever releases is told once.
//! 7. No owner ends what another one keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::case::Sharing;
use crate::failure::Failure;
use crate::process::Process;

mod cluster;
mod keeping;
#[cfg(test)]
mod tests;
mod view;
mod words;
pub(crate) use cluster::Stage;
use cluster::{Cluster, Lease};
pub(crate) use view::{Holder, Listed, Waits, named};
pub(crate) use words::{Client, ClusterId, Effect, Event, Grant, Keeping, Poison, Reason, Released, Wish};

/// How often those who came later may get clusters before somebody who lacks room: the longest queue is served
/// first, and each change to another costs a deployment.
const PATIENCE: usize = 16;
/// How long a cluster stays that is to be looked at.
pub(super) const KEPT: Duration = Duration::from_secs(60 * 60);

#[derive(Debug)]
struct Waiter {
    client: Client,
    wish: Wish,
    since: Duration,
    /// The cluster that is made for it alone.
    fresh: Option<ClusterId>,
    /// How often others who came later got a cluster, or one deployed, while it lacked room.
    overtaken: usize,
}

/// Every cluster, lease and wish of one host.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Nodes of all clusters together.
    most: usize,
    /// How often somebody who lacks room may be overtaken.
    patience: usize,
    /// How many leases were granted since somebody elsewhere lacks room, if anybody does.
    wanted_for: Option<usize>,
    now: Duration,
    clusters: BTreeMap<ClusterId, Cluster>,
    made: u64,
    /// In the order of arrival.
    waiting: Vec<Waiter>,
    planned: BTreeMap<(Client, String), usize>,
    /// What became of the last bad cluster of each key.
    bad: BTreeMap<String, Poison>,
    /// Why the next cluster of each key is made, once there was one.
    next: BTreeMap<String, Reason>,
    /// The owners that live.
    owners: BTreeMap<Process, Keeping>,
    /// Whose each client is.
    owner_of: BTreeMap<Client, Process>,
    /// The last owner ended.
    orphaned: bool,
    effects: Vec<Effect>,
}

impl Ledger {
    /// A ledger of clusters that have at most so many nodes together. Clusters of clients without an owner end when
    /// nobody uses them or plans to.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            patience: PATIENCE,
            wanted_for: None,
            now: Duration::ZERO,
            clusters: BTreeMap::new(),
            made: 0,
            waiting: Vec::new(),
            planned: BTreeMap::new(),
            bad: BTreeMap::new(),
            next: BTreeMap::new(),
            owners: BTreeMap::new(),
            owner_of: BTreeMap::new(),
            orphaned: false,
            effects: Vec::new(),
        }
    }

    /// Takes note of what happened `now`; what is to be done, in this order.
    pub(crate) fn handle(&mut self, now: Duration, event: Event) -> Vec<Effect> {
        self.now = now;
        match event {
            Event::Attach { client, wish } => self.attach(client, wish),
            Event::Draw { client, count } => self.draw(client, count),
            Event::Keep { client } => self.keep(client),
            Event::Release { client, passed } => self.release(client, passed),
            Event::Gone { client } => self.gone(client),
            Event::Planned { client, key, users: 0 } => _ = self.planned.remove(&(client, key)),
            Event::Planned { client, key, users } => _ = self.planned.insert((client, key), users),
            Event::LacksRoom { cluster, others } => self.with(cluster, |it| it.lacks_room(others)),
            Event::Deployed { cluster } => self.with(cluster, Cluster::deployed),
            Event::DeployFailed { cluster, failure } => self.deploy_failed(cluster, &failure),
            Event::Gated { cluster, found } => self.with(cluster, |it| it.gated(found)),
            Event::TornDown { cluster, left } => self.torn_down(cluster, left),
            Event::RoomWanted(true) => self.make_room(),
            Event::RoomWanted(false) => self.wanted_for = None,
            Event::Owned { client, owner, keeping } => self.owned(client, owner, keeping),
            Event::OwnerGone { owner } => self.owner_gone(owner),
            Event::Time => {}
        }
        self.settle();
        std::mem::take(&mut self.effects)
    }

    /// When [`Event::Time`] will change something, unless something happens before.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.clusters.values().filter_map(|cluster| self.ends_at(cluster)).min()
    }

    /// Does everything that the state calls for.
    fn settle(&mut self) {
        self.end_idle();
        self.grant_waiting();
        self.refuse_hopeless();
        self.deploy_wanted();
        for (&id, cluster) in &mut self.clusters {
            if cluster.wants_gate() {
                let thorough = cluster.begin_gate();
                self.effects.push(Effect::Gate { cluster: id, thorough });
            }
            for (client, released) in cluster.told() {
                self.effects.push(Effect::Released { client, released });
            }
        }
        if self.orphaned && self.clusters.is_empty() && self.waiting.is_empty() {
            self.effects.push(Effect::Exit);
        }
    }

    fn with(&mut self, cluster: ClusterId, change: impl FnOnce(&mut Cluster)) {
        if let Some(cluster) = self.clusters.get_mut(&cluster) {
            let before = cluster.poison.clone();
            change(cluster);
            // One that was for a single case is no other's predecessor.
            if let Some(poison) = &cluster.poison
                && before.as_ref() != Some(poison)
                && !cluster.fresh
            {
                self.bad.insert(cluster.key.clone(), poison.clone());
            }
            if let Some(reason) = cluster.successor() {
                self.next.insert(cluster.key.clone(), reason);
            }
        }
    }

    fn attach(&mut self, client: Client, wish: Wish) {
        if wish.nodes > self.most {
            let failure = super::budget::too_large(wish.nodes, self.most);
            self.effects.push(Effect::Refuse { client, failure });
        } else {
            self.waiting.push(Waiter { client, wish, since: self.now, fresh: None, overtaken: 0 });
        }
    }

    fn draw(&mut self, client: Client, count: usize) {
        let cluster = self.clusters.values_mut().find(|cluster| cluster.leases.contains_key(&client));
        let accounts = cluster.map_or(Err(0), |cluster| cluster.draw(count));
        self.effects.push(Effect::Drawn { client, accounts });
    }

    fn keep(&mut self, client: Client) {
        let until = self.now + KEPT;
        let leased = self.clusters.values_mut().find(|cluster| cluster.leases.contains_key(&client));
        if let Some(cluster) = leased {
            cluster.keep(client, until);
        }
    }

    fn release(&mut self, client: Client, passed: bool) {
        let leased = self.clusters.iter().find(|(_, cluster)| cluster.leases.contains_key(&client));
        match leased.map(|(&id, _)| id) {
            Some(id) => self.with(id, |cluster| cluster.released(client, passed)),
            None => {
                self.waiting.retain(|waiter| waiter.client != client);
                self.effects.push(Effect::Released { client, released: Released::default() });
            }
        }
    }

    fn gone(&mut self, client: Client) {
        self.owner_of.remove(&client);
        self.planned.retain(|(planner, _), _| *planner != client);
        self.waiting.retain(|waiter| waiter.client != client);
        for id in self.clusters.keys().copied().collect::<Vec<_>>() {
            self.with(id, |cluster| cluster.abandoned(client));
        }
    }

    fn deploy_failed(&mut self, id: ClusterId, failure: &Failure) {
        let Some(cluster) = self.clusters.remove(&id) else { return };
        self.next.insert(cluster.key.clone(), Reason::Failed);
        let effects = &mut self.effects;
        self.waiting.retain(|waiter| {
            let served = waiter.is_served_by(id, &cluster);
            if served {
                effects.push(Effect::Refuse { client: waiter.client, failure: failure.clone() });
            }
            !served
        });
    }

    fn torn_down(&mut self, id: ClusterId, left: Option<String>) {
        let Some(mut cluster) = self.clusters.remove(&id) else { return };
        for (client, released) in cluster.farewell(left) {
            self.effects.push(Effect::Released { client, released });
        }
    }

    fn grant_waiting(&mut self) {
        let mut passed_over = BTreeSet::new();
        for waiter in std::mem::take(&mut self.waiting) {
            let is_next = waiter.wish.sharing == Sharing::Fresh || !passed_over.contains(&waiter.wish.key);
            let hurries = self.waiting.iter().any(|waiter| self.is_out_of_patience(waiter));
            if is_next && self.granted(&waiter, hurries) {
                self.overtake(self.waiting.len());
                continue;
            }
            if waiter.wish.sharing != Sharing::Fresh {
                passed_over.insert(waiter.wish.key.clone());
            }
            self.waiting.push(waiter);
        }
    }

    /// Grants a lease if that can be; where somebody before `hurries`, only of a cluster that nobody had yet.
    fn granted(&mut self, waiter: &Waiter, hurries: bool) -> bool {
        let owner = self.owner(waiter.client);
        let serving = |(id, cluster): &(&ClusterId, &mut Cluster)| waiter.is_served_by(**id, cluster);
        for (_, cluster) in self.clusters.iter_mut().filter(serving) {
            if cluster.stage == Stage::Ready && !cluster.has_accounts(waiter.wish.reserve) {
                cluster.retired = Some(Reason::UsedUp);
                self.next.insert(cluster.key.clone(), Reason::UsedUp);
            }
        }
        // One that lingered and was adopted may be there beside another of its key.
        let admits =
            |cluster: &Cluster| cluster.admits(waiter.wish.sharing) && !(hurries && cluster.granted > 0);
        let admitting = self.clusters.iter_mut().filter(serving).find(|(_, cluster)| admits(cluster));
        let Some((&id, cluster)) = admitting else { return false };
        let Wish { case, pid, sharing, .. } = waiter.wish.clone();
        let lease = Lease { case, pid, sharing, since: self.now, beside: Vec::new() };
        let (number, accounts, others) = cluster.lease(waiter.client, lease, waiter.wish.reserve);
        if let Some(owner) = owner {
            cluster.keep_for(owner);
        }
        let replaces = self.bad.get(&waiter.wish.key).cloned();
        let made = (number == 0).then_some(cluster.reason);
        let grant = Grant { cluster: id, number, accounts, others, replaces, made };
        self.effects.push(Effect::Grant { client: waiter.client, grant });
        self.wanted_for.iter_mut().for_each(|grants| *grants += 1);
        true
    }

    /// Notes that somebody got something who waited behind so many.
    fn overtake(&mut self, ahead: usize) {
        for position in 0..ahead {
            if self.lacks_cluster(&self.waiting[position]) {
                self.waiting[position].overtaken += 1;
            }
        }
    }

    /// Whether there is no cluster that the waiter will get.
    fn lacks_cluster(&self, waiter: &Waiter) -> bool {
        !self.clusters.iter().any(|(&id, cluster)| waiter.is_served_by(id, cluster))
    }

    fn is_out_of_patience(&self, waiter: &Waiter) -> bool {
        waiter.overtaken >= self.patience && self.lacks_cluster(waiter)
    }

    /// Refuses whoever would have to wait for as long as clusters are kept to be looked at.
    fn refuse_hopeless(&mut self) {
        let kept = self.clusters.values().filter(|it| it.is_kept(self.now)).map(|it| it.nodes).sum::<usize>();
        let waiting = std::mem::take(&mut self.waiting);
        let is_hopeless =
            |waiter: &Waiter| waiter.wish.nodes + kept > self.most && self.lacks_cluster(waiter);
        let (hopeless, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_hopeless);
        self.waiting = waiting;
        for Waiter { client, wish, .. } in hopeless {
            let keeper = [std::process::id()].into_iter();
            let failure = super::budget::kept_by(wish.nodes, self.most, kept, keeper);
            self.effects.push(Effect::Refuse { client, failure });
        }
    }

    /// Deploys what is waited for and not there, the longest queue first, and makes room for it.
    fn deploy_wanted(&mut self) {
        for position in self.wanted() {
            let waiter = &self.waiting[position];
            let (client, wish) = (waiter.client, waiter.wish.clone());
            let ahead = if self.is_out_of_patience(waiter) { position } else { self.waiting.len() };
            let nodes = |clusters: &BTreeMap<_, Cluster>, but: Option<Stage>| -> usize {
                clusters.values().filter(|it| Some(it.stage) != but).map(|it| it.nodes).sum()
            };
            let lacks =
                |ledger: &Self| nodes(&ledger.clusters, Some(Stage::Ending)) + wish.nodes > ledger.most;
            while lacks(self) && self.evict_one(ahead) {}
            if nodes(&self.clusters, None) + wish.nodes > self.most {
                // Whoever is next in line may not be overtaken by those who need less.
                return;
            }
            self.made += 1;
            let cluster = self.made;
            let reason = match wish.sharing {
                Sharing::Fresh => Reason::Fresh,
                _ => self.next.get(&wish.key).copied().unwrap_or(Reason::First),
            };
            let mut made = Cluster::new(&wish, reason, self.now);
            if let Some(owner) = self.owner(client) {
                made.keep_for(owner);
            }
            self.clusters.insert(cluster, made);
            if wish.sharing == Sharing::Fresh {
                self.waiting[position].fresh = Some(cluster);
            }
            self.effects.push(Effect::Deploy { cluster, client });
            self.overtake(position);
        }
    }

    /// The waiters for whom there is no cluster yet, one per cluster that is lacking: those who are out of patience,
    /// then the longest queues.
    fn wanted(&self) -> Vec<usize> {
        let queue = |waiter: &Waiter| match self.is_out_of_patience(waiter) {
            true => usize::MAX,
            false => self.queue_length(&waiter.wish),
        };
        let mut keys = BTreeSet::new();
        let mut wanted: Vec<_> = (self.waiting.iter().enumerate())
            .filter(|(_, waiter)| self.lacks_cluster(waiter))
            .filter(|(_, waiter)| waiter.wish.sharing == Sharing::Fresh || keys.insert(&waiter.wish.key))
            .map(|(position, waiter)| (std::cmp::Reverse(queue(waiter)), position))
            .collect();
        wanted.sort_unstable();
        wanted.into_iter().map(|(_, position)| position).collect()
    }

    /// How many wait for the same cluster, or will.
    fn queue_length(&self, wish: &Wish) -> usize {
        if wish.sharing == Sharing::Fresh {
            return 1;
        }
        let planned: usize =
            self.planned.iter().filter(|((_, key), _)| *key == wish.key).map(|(_, users)| users).sum();
        let same = |waiter: &&Waiter| waiter.wish.sharing != Sharing::Fresh && waiter.wish.key == wish.key;
        planned.max(self.waiting.iter().filter(same).count())
    }
}

impl Waiter {
    /// Whether this is the cluster that the waiter will get, if nothing happens to it.
    fn is_served_by(&self, id: ClusterId, cluster: &Cluster) -> bool {
        match self.wish.sharing {
            Sharing::Fresh => self.fresh == Some(id) && cluster.stage != Stage::Ending,
            _ => {
                let is_free = !cluster.fresh && cluster.lingers.is_none() && cluster.may_be_used();
                is_free && cluster.key == self.wish.key
            }
        }
    }
}
