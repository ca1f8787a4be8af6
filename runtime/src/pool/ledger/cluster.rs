//! One cluster in the ledger: its stage, its leases, its accounts, and what is known of its health.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Client, Poison, Process, Reason, Released, Wish};
use crate::case::Sharing;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// There is no room for its nodes yet.
    Waiting,
    Deploying,
    Ready,
    /// Its teardown has begun.
    Ending,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) case: String,
    pub(super) pid: u32,
    pub(super) sharing: Sharing,
    pub(super) since: Duration,
    /// The cases of leases that overlapped with this one.
    pub(super) beside: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) key: String,
    pub(super) nodes: usize,
    pub(super) reason: Reason,
    /// Made for one lease only.
    pub(super) fresh: bool,
    pub(super) stage: Stage,
    /// When it was asked for.
    pub(super) since: Duration,
    pub(super) leases: BTreeMap<Client, Lease>,
    /// Those for whom it is kept.
    pub(super) owners: BTreeSet<Process>,
    /// How long those that ended let it linger.
    pub(super) linger: Duration,
    /// How long it stays unused, since none of its owners lives.
    pub(super) lingers: Option<Duration>,
    /// A lease ended since the last gate began.
    pub(super) unchecked: bool,
    /// Whoever left since had it to himself, and may have done things to its nodes.
    touched: bool,
    /// A gate is on its way.
    pub(super) checking: bool,
    pub(super) poison: Option<Poison>,
    /// Until when it stays for people to look at, used or not.
    pub(super) kept_until: Option<Duration>,
    /// The cases after which they want that.
    pub(super) kept_for: Vec<String>,
    /// Who has the room elsewhere that it lacks.
    pub(super) others: Option<String>,
    /// Why nobody else gets it, where that is no harm: it has too few accounts left, or others need its room.
    pub(super) retired: Option<Reason>,
    /// Since when nobody uses it, if nobody does.
    pub(super) idle_since: Option<Duration>,
    accounts: usize,
    /// All accounts below were given away.
    drawn: usize,
    pub(super) granted: u64,
    /// Those who released, are alive, and are not told yet.
    leaving: Vec<(Client, String)>,
    /// Who ever used it.
    users: Vec<String>,
    /// Who used it since it was well for certain.
    suspects: Vec<String>,
}

impl Lease {
    /// The case, and those whose leases overlapped with it: any of them may have done what shows in one.
    fn all(self) -> Vec<String> {
        [vec![self.case], self.beside].concat()
    }
}

impl Cluster {
    pub(super) fn new(wish: &Wish, reason: Reason, since: Duration) -> Self {
        Self {
            key: wish.key.clone(),
            nodes: wish.nodes,
            reason,
            fresh: wish.sharing == Sharing::Fresh,
            stage: Stage::Deploying,
            since,
            leases: BTreeMap::new(),
            owners: BTreeSet::new(),
            linger: Duration::ZERO,
            lingers: None,
            unchecked: false,
            touched: false,
            checking: false,
            poison: None,
            kept_until: None,
            kept_for: Vec::new(),
            others: None,
            retired: None,
            idle_since: None,
            accounts: wish.accounts,
            drawn: 0,
            granted: 0,
            leaving: Vec::new(),
            users: Vec::new(),
            suspects: Vec::new(),
        }
    }

    /// Keeps it for a living owner.
    pub(super) fn keep_for(&mut self, owner: Process) {
        self.owners.insert(owner);
        self.lingers = None;
    }

    /// An owner ended, which lets its clusters linger.
    pub(super) fn owner_gone(&mut self, owner: Process, linger: Duration) {
        if self.owners.remove(&owner) {
            self.linger = self.linger.max(linger);
            self.lingers = self.owners.is_empty().then_some(self.linger);
        }
    }

    /// Others have the room that it needs, or do not any more.
    pub(super) fn lacks_room(&mut self, others: Option<String>) {
        if self.stage != Stage::Ending {
            self.stage = if others.is_some() { Stage::Waiting } else { Stage::Deploying };
            self.others = others;
        }
    }

    /// Keeps it for people to look at after a client's lease.
    pub(super) fn keep(&mut self, client: Client, until: Duration) {
        self.kept_until = Some(until);
        self.kept_for.extend(self.leases.get(&client).map(|lease| lease.case.clone()));
    }

    pub(super) fn is_kept(&self, now: Duration) -> bool {
        self.stage != Stage::Ending && self.kept_until.is_some_and(|until| until > now)
    }

    pub(super) fn deployed(&mut self) {
        if self.stage != Stage::Ending {
            self.stage = Stage::Ready;
        }
    }

    /// Whether a lease may be granted on it, now or later.
    pub(super) fn may_be_used(&self) -> bool {
        let used_up = self.retired.is_some() || (self.fresh && self.granted > 0);
        self.stage != Stage::Ending && self.poison.is_none() && !used_up
    }

    /// Whether a lease of this kind may be granted now.
    pub(super) fn admits(&self, sharing: Sharing) -> bool {
        let ready = self.stage == Stage::Ready && self.may_be_used() && !self.checking && !self.unchecked;
        let alone = self.leases.is_empty();
        let shared = self.leases.values().all(|lease| lease.sharing == Sharing::Shared);
        ready && (alone || (sharing == Sharing::Shared && shared))
    }

    /// Why another one of its key is made, if that is known by now.
    pub(super) fn successor(&self) -> Option<Reason> {
        match (&self.poison, self.stage) {
            _ if self.fresh => None,
            (Some(_), _) => Some(Reason::Poisoned),
            (None, Stage::Ending) => self.retired.or(Some(Reason::GivenUp)),
            (None, _) => self.retired,
        }
    }

    /// Whether nobody has it or looks at it; where nobody ever will, its gate is not waited for.
    pub(super) fn is_unused(&self) -> bool {
        let is_over = self.lingers == Some(Duration::ZERO);
        self.leases.is_empty() && (is_over || !(self.checking || self.unchecked))
    }

    /// Whether it has the accounts that a lease needs from the start; of one that needs none, a tenth of all.
    pub(super) fn has_accounts(&self, reserve: Option<usize>) -> bool {
        let needed = reserve.unwrap_or(self.accounts / 10);
        // A new cluster has all there can be.
        self.drawn == 0 || self.next(reserve) + needed <= self.accounts
    }

    /// Accounts that belong together begin at a multiple of their number, as genesis has them.
    fn next(&self, reserve: Option<usize>) -> usize {
        self.drawn.next_multiple_of(reserve.unwrap_or(1).max(1))
    }

    /// Gives a lease; its number, its accounts, and who else used the cluster.
    pub(super) fn lease(
        &mut self,
        client: Client,
        mut lease: Lease,
        reserve: Option<usize>,
    ) -> (u64, Range<usize>, Vec<String>) {
        let begin = self.next(reserve);
        let end = (begin + reserve.unwrap_or(0)).min(self.accounts);
        self.drawn = end;
        let number = self.granted;
        self.granted += 1;
        let others = self.users.clone();
        self.users.push(lease.case.clone());
        self.suspects.push(lease.case.clone());
        for other in self.leases.values_mut() {
            other.beside.push(lease.case.clone());
            lease.beside.push(other.case.clone());
        }
        self.leases.insert(client, lease);
        (number, begin..end, others)
    }

    /// Everybody who used it but one lease of a case: others may have its name.
    fn others(&self, case: &str) -> Vec<String> {
        let mut others = self.users.clone();
        if let Some(position) = others.iter().rposition(|user| user == case) {
            others.remove(position);
        }
        others
    }

    pub(super) fn draw(&mut self, count: usize) -> Result<Range<usize>, usize> {
        let left = self.accounts - self.drawn;
        if count > left {
            return Err(left);
        }
        self.drawn += count;
        Ok(self.drawn - count..self.drawn)
    }

    pub(super) fn released(&mut self, client: Client, passed: bool) {
        let Some(lease) = self.leases.remove(&client) else { return };
        self.leaving.push((client, lease.case.clone()));
        if passed {
            self.unchecked |= !self.fresh && self.poison.is_none();
            self.touched |= lease.sharing == Sharing::Exclusive;
        } else {
            let reason = format!("{} failed on it", lease.case);
            self.poisoned(lease.all(), reason);
        }
    }

    /// A client went away without a word.
    pub(super) fn abandoned(&mut self, client: Client) {
        self.leaving.retain(|(leaving, _)| *leaving != client);
        let Some(lease) = self.leases.remove(&client) else { return };
        if lease.sharing == Sharing::Shared {
            self.unchecked |= self.poison.is_none();
        } else {
            let reason = format!("the process of {} died, which had it for itself", lease.case);
            self.poisoned(lease.all(), reason);
        }
    }

    /// Nobody gets it any more. Whoever is to blame for something else besides is added to those before.
    fn poisoned(&mut self, culprits: Vec<String>, reason: String) {
        self.unchecked = false;
        let poison = self.poison.get_or_insert_default();
        for culprit in culprits {
            if !poison.culprits.contains(&culprit) {
                poison.culprits.push(culprit);
            }
        }
        poison.reasons.push(reason);
    }

    pub(super) fn wants_gate(&self) -> bool {
        self.stage == Stage::Ready && self.unchecked && !self.checking
    }

    /// Notes that a gate begins; whether it has to be thorough.
    pub(super) fn begin_gate(&mut self) -> bool {
        (self.checking, self.unchecked) = (true, false);
        std::mem::take(&mut self.touched)
    }

    pub(super) fn gated(&mut self, found: Result<(), String>) {
        self.checking = false;
        match found {
            Err(reason) => {
                let culprits = std::mem::take(&mut self.suspects);
                self.poisoned(culprits, reason);
            }
            // Whoever left while the gate looked may have done harm behind it.
            Ok(()) if self.unchecked => {}
            Ok(()) => self.suspects = self.leases.values().map(|lease| lease.case.clone()).collect(),
        }
    }

    /// Those who can be told now what became of the cluster: its gate is passed, and others go on using it or
    /// will.
    pub(super) fn told(&mut self) -> Vec<(Client, Released)> {
        let known = self.stage != Stage::Ending && !self.checking && !self.unchecked;
        if known { self.farewell(None) } else { Vec::new() }
    }

    /// All who left and were not told yet; `left` is what could not be removed.
    pub(super) fn farewell(&mut self, left: Option<String>) -> Vec<(Client, Released)> {
        let leaving = std::mem::take(&mut self.leaving);
        let released = |(client, case): (Client, String)| {
            let (others, poison, left) = (self.others(&case), self.poison.clone(), left.clone());
            (client, Released { others, poison, left })
        };
        leaving.into_iter().map(released).collect()
    }
}
