//! What the model knows of one cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{ACCOUNTS, RESERVE, case};
use crate::case::Sharing;
use crate::pool::ledger::Client;

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) key: String,
    pub(super) nodes: usize,
    pub(super) fresh: bool,
    pub(super) deployed: bool,
    pub(super) ending: bool,
    /// Who is to blame for what is wrong with it.
    pub(super) bad: Option<BTreeSet<String>>,
    /// A lease ended, and no gate that began later has passed.
    pub(super) unchecked: bool,
    pub(super) gating: bool,
    pub(super) kept_until: Duration,
    pub(super) granted: usize,
    /// It may have been chosen to make room for others, or certainly was.
    pub(super) may_make_room: bool,
    pub(super) makes_room: bool,
    pub(super) numbers: BTreeSet<u64>,
    pub(super) accounts: BTreeSet<usize>,
    /// All accounts below are given away, or never will be.
    pub(super) drawn: usize,
    pub(super) users: Vec<String>,
    pub(super) suspects: BTreeSet<String>,
    /// All leases in the order of their grants, and how many there had been when each ended.
    pub(super) leases: Vec<(Client, Option<usize>)>,
    pub(super) holders: BTreeMap<Client, Sharing>,
    /// Whose clients used it.
    pub(super) owners: BTreeSet<u32>,
    /// The last moment at which somebody certainly used it.
    pub(super) used: Duration,
}

impl Seen {
    /// The lease of a client ends.
    pub(super) fn leaves(&mut self, client: Client) {
        self.holders.remove(&client);
        let granted = self.leases.len();
        self.leases.iter_mut().filter(|(holder, _)| *holder == client).for_each(|it| it.1 = Some(granted));
    }

    /// The cases whose leases overlapped with that of a client, which is one of them.
    pub(super) fn overlapping(&self, client: Client) -> BTreeSet<String> {
        let position = self.leases.iter().position(|(holder, _)| *holder == client).unwrap();
        let is_over = |lease: usize, when: usize| self.leases[lease].1.is_some_and(|ended| ended <= when);
        let overlaps =
            |other: &usize| !is_over(position.min(*other), position.max(*other)) || position == *other;
        (0..self.leases.len()).filter(overlaps).map(|lease| case(self.leases[lease].0)).collect()
    }

    /// Whether none of those lives for whom it was made or who used it.
    pub(super) fn lingers(&self, living: &BTreeSet<u32>) -> bool {
        !self.owners.is_empty() && self.owners.is_disjoint(living)
    }

    /// Whether it may be granted no more, though nothing is wrong with it.
    pub(super) fn may_be_used_up(&self) -> bool {
        self.may_make_room || self.lacks_accounts()
    }

    fn lacks_accounts(&self) -> bool {
        let drawn = self.drawn;
        drawn > 0 && (1..RESERVE).any(|reserve| drawn.next_multiple_of(reserve) + reserve > ACCOUNTS)
    }

    /// Everybody who used it but a case, or but one of those of its name.
    pub(super) fn others(&self, case: &str) -> Vec<String> {
        let own = self.users.iter().rposition(|user| user == case);
        let others = self.users.iter().enumerate().filter(|(index, _)| Some(*index) != own);
        others.map(|(_, user)| user.clone()).collect()
    }
}
