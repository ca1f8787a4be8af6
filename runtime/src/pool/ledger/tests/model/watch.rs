//! What the model makes of each answer: the promises.

use std::ops::Range;
use std::time::Duration;

use super::{ACCOUNTS, Model, NODES, PATIENCE, Seen, case, keeping, left};
use crate::case::Sharing;
use crate::pool::ledger::{Client, ClusterId, Effect, Grant, Wish};

impl Model {
    pub(super) fn watch(&mut self, effect: Effect) {
        match effect {
            Effect::Deploy { cluster, client } => {
                let position = self.waiting.iter().position(|(waiting, _)| *waiting == client).unwrap();
                self.overtakes(position, true);
                let (_, wish) = &self.waiting[position];
                let (key, nodes, used) = (wish.key.clone(), wish.nodes, self.now);
                let owners = self.living_owner(client).into_iter().collect();
                let fresh = wish.sharing == Sharing::Fresh;
                if fresh {
                    self.fresh.insert(client, cluster);
                }
                let seen = Seen { key, nodes, fresh, owners, used, ..Seen::default() };
                assert!(self.clusters.insert(cluster, seen).is_none(), "cluster {cluster} is made twice");
            }
            Effect::Grant { client, grant } => self.granted(client, &grant),
            Effect::Refuse { client, failure } => {
                let position = self.waiting.iter().position(|(waiting, _)| *waiting == client);
                let (_, wish) = self.waiting.remove(position.expect("who is refused waits"));
                if failure.subject == "deploy" {
                    self.refused.insert(client);
                } else {
                    let there = self.clusters.values().filter(|seen| seen.key == wish.key && !seen.fresh);
                    let serves = |seen: &Seen| {
                        let good = !seen.ending && seen.bad.is_none() && !seen.lingers(&self.owners);
                        good && !seen.may_be_used_up()
                    };
                    let served = wish.sharing != Sharing::Fresh && there.into_iter().any(serves);
                    let never = wish.nodes > NODES;
                    let rightly = never || (self.lacks_room_that_is_kept(&wish) && !served);
                    assert!(rightly, "{wish:?} is refused: {failure}");
                }
            }
            Effect::Drawn { client, accounts } => {
                let (asked, count) = self.asked.take().expect("who draws asked");
                assert_eq!(asked, client);
                let cluster = self.holders().into_iter().find(|(holder, _)| *holder == client);
                let drawn = cluster.map_or(ACCOUNTS, |(_, cluster)| self.clusters[&cluster].drawn);
                let given = (count <= ACCOUNTS - drawn).then_some(drawn..drawn + count);
                assert_eq!(accounts, given.clone().ok_or(ACCOUNTS - drawn));
                if let (Some((_, cluster)), Some(given)) = (cluster, given) {
                    self.gives(cluster, given);
                }
            }
            Effect::Gate { cluster, .. } => {
                let seen = self.clusters.get_mut(&cluster).unwrap();
                assert!(!seen.gating && seen.deployed && !seen.ending);
                (seen.gating, seen.unchecked) = (true, false);
            }
            Effect::TearDown { cluster } => {
                self.may_end(&self.clusters[&cluster]);
                self.clusters.get_mut(&cluster).unwrap().ending = true;
            }
            Effect::Released { client, released } => {
                let cluster = self.leaving.remove(&client).expect("who is told has asked");
                let gone = self.gone.get(&cluster);
                let known = self.clusters.get(&cluster).or(gone);
                let blamed = released.poison.map(|poison| poison.culprits.into_iter().collect());
                assert_eq!(blamed, known.and_then(|seen| seen.bad.clone()), "who is to blame");
                let others = known.map(|seen| seen.others(&case(client))).unwrap_or_default();
                assert_eq!(released.others, others, "who else used it");
                assert_eq!(released.left, gone.and_then(|_| left(cluster)), "what is left");
            }
            Effect::Exit => {
                assert!(self.owners.is_empty() && self.clusters.is_empty(), "it goes, although needed");
                self.over = true;
            }
        }
    }

    fn living_owner(&self, client: Client) -> Option<u32> {
        self.owner_of.get(&client).copied().filter(|owner| self.owners.contains(owner))
    }

    /// That a cluster ends which nobody uses, keeps, or plans to use, unless there has to be room.
    fn may_end(&self, seen: &Seen) {
        assert!(seen.holders.is_empty() && !seen.ending, "{seen:?} is in use, or ends already");
        assert!(seen.kept_until <= self.now, "{seen:?} is kept");
        let used_up = seen.bad.is_some() || (seen.fresh && seen.granted > 0) || seen.may_be_used_up();
        if used_up || seen.kept_until > Duration::ZERO || self.room_wanted || !self.waiting.is_empty() {
            return;
        }
        let living = || seen.owners.iter().filter(|owner| self.owners.contains(owner));
        let keepings = || living().map(|owner| keeping(*owner));
        let gone = seen.owners.iter().map(|owner| keeping(*owner).linger).max().unwrap_or_default();
        let is_planned =
            self.plans.values().flatten().any(|(key, users)| *users > 0 && key.to_string() == seen.key);
        if living().next().is_some() {
            assert!(!is_planned, "{seen:?} is planned to be used");
            assert!(keepings().all(|keeping| keeping.grace.is_some()), "an owner keeps {seen:?}");
        }
        let graces = keepings().map(|keeping| keeping.grace.unwrap_or_default());
        let stays = graces.max().unwrap_or_default().max(gone);
        assert!(seen.used + stays <= self.now, "{seen:?} may stay {stays:?}, and it is {:?}", self.now);
    }

    fn granted(&mut self, client: Client, grant: &Grant) {
        let position = self.waiting.iter().position(|(waiting, _)| *waiting == client).unwrap();
        let (_, wish) = self.waiting.remove(position);
        if wish.sharing != Sharing::Fresh {
            let same = |(_, other): &(Client, Wish)| other.key == wish.key && other.sharing != Sharing::Fresh;
            assert!(!self.waiting[..position].iter().any(same), "client {client} overtakes");
        }
        self.overtakes(position, self.clusters[&grant.cluster].granted == 0);
        let (owner, owners) = (self.living_owner(client), self.owners.clone());
        let seen = self.clusters.get_mut(&grant.cluster).unwrap();
        assert!(!seen.lingers(&owners) || seen.fresh, "{seen:?} is granted, and only lingers");
        assert!(seen.deployed && !seen.ending && seen.bad.is_none(), "{seen:?} is granted");
        assert!(!seen.unchecked && !seen.gating, "{seen:?} is granted before its gate");
        assert_eq!((&seen.key, seen.fresh), (&wish.key, wish.sharing == Sharing::Fresh));
        assert!(!seen.fresh || seen.granted == 0, "a fresh cluster was used before");
        let alone = wish.sharing != Sharing::Shared || seen.holders.values().any(|it| *it != Sharing::Shared);
        assert!(!alone || seen.holders.is_empty(), "{client} is not alone on {seen:?}");
        assert!(seen.numbers.insert(grant.number), "a lease's number is given twice");
        assert_eq!(seen.users, grant.others, "who else used it");
        assert!(!seen.makes_room, "{seen:?} is granted, and others lack its room");
        seen.granted += 1;
        self.wanted_for.iter_mut().for_each(|grants| *grants += 1);
        seen.used = self.now;
        seen.owners.extend(owner);
        seen.users.push(wish.case.clone());
        seen.suspects.insert(wish.case);
        seen.holders.insert(client, wish.sharing);
        seen.leases.push((client, None));
        let replaces = grant.replaces.clone().map(|poison| poison.culprits.into_iter().collect());
        assert_eq!(replaces.as_ref(), self.blamed.get(&wish.key), "whom it names");
        let reserve = wish.reserve.unwrap_or(0);
        let begin = self.clusters[&grant.cluster].drawn.next_multiple_of(reserve.max(1));
        assert_eq!(grant.accounts, begin..begin + reserve, "the reserve");
        self.gives(grant.cluster, grant.accounts.clone());
    }

    /// Somebody waited behind so many and got a cluster, which is new or was used before.
    fn overtakes(&mut self, ahead: usize, new: bool) {
        let lacking = self.waiting[..ahead].iter().filter(|(client, wish)| self.lacks_cluster(*client, wish));
        for client in lacking.map(|(client, _)| *client).collect::<Vec<_>>() {
            let overtaken = self.overtaken.entry(client).or_default();
            assert!(new || *overtaken < PATIENCE, "client {client} starves");
            *overtaken += 1;
        }
    }

    /// Whether the client would have to wait for the room of what is kept, for certain.
    pub(super) fn is_hopeless(&self, client: Client, wish: &Wish) -> bool {
        self.lacks_room_that_is_kept(wish) && self.lacks_cluster(client, wish)
    }

    fn lacks_room_that_is_kept(&self, wish: &Wish) -> bool {
        let kept = self.clusters.values().filter(|seen| !seen.ending && seen.kept_until > self.now);
        wish.nodes + kept.map(|seen| seen.nodes).sum::<usize>() > NODES
    }

    /// Whether there is certainly no cluster that the client may hope for.
    fn lacks_cluster(&self, client: Client, wish: &Wish) -> bool {
        let is_there = |seen: &Seen| !seen.ending && seen.bad.is_none();
        let is_for_all = |seen: &Seen| !seen.fresh && seen.key == wish.key;
        match wish.sharing {
            Sharing::Fresh => !self.fresh.get(&client).is_some_and(|id| self.clusters.contains_key(id)),
            _ => !self.clusters.values().any(|seen| is_there(seen) && is_for_all(seen)),
        }
    }

    fn gives(&mut self, cluster: ClusterId, accounts: Range<usize>) {
        let seen = self.clusters.get_mut(&cluster).unwrap();
        seen.drawn = accounts.end;
        for account in accounts {
            assert!(account < ACCOUNTS && seen.accounts.insert(account), "account {account} is given twice");
        }
    }
}
