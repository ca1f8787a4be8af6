//! Random schedules: the ledger is told what could happen, and a model that knows only what was told and answered
//! says whether every promise is kept.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::*;
use crate::failure::FailureClass;

mod seen;
mod step;
mod watch;
use seen::Seen;
use step::Step;

pub(super) const NODES: usize = 8;
pub(super) const LINGER: Duration = Duration::from_secs(60);
pub(super) const ACCOUNTS: usize = 20;
const GRACE: Duration = Duration::from_secs(10);
/// How often somebody may be overtaken.
const PATIENCE: usize = 2;
/// Accounts that one lease may have reserved, but for one.
const RESERVE: usize = 9;

/// Owners that come and go, and how each keeps its clusters.
const OWNERS: [Keeping; 3] = [
    Keeping { grace: Some(GRACE), linger: Duration::ZERO },
    Keeping { grace: None, linger: Duration::ZERO },
    Keeping { grace: Some(GRACE), linger: LINGER },
];

/// The world as the ledger's hosts would see it.
struct Model {
    ledger: Ledger,
    now: Duration,
    clients: u64,
    /// In the order of arrival.
    waiting: Vec<(Client, Wish)>,
    /// How often others got a cluster before those who lack one.
    overtaken: BTreeMap<Client, usize>,
    /// The clusters that were made for one client each.
    fresh: BTreeMap<Client, ClusterId>,
    leaving: BTreeMap<Client, ClusterId>,
    /// What is asked for in this moment.
    asked: Option<(Client, usize)>,
    clusters: BTreeMap<ClusterId, Seen>,
    /// Those that were there before.
    gone: BTreeMap<ClusterId, Seen>,
    /// Who was blamed last for a cluster of a key.
    blamed: BTreeMap<String, BTreeSet<String>>,
    owner_of: BTreeMap<Client, u32>,
    owners: BTreeSet<u32>,
    /// How often an owner of each number ended.
    ended: [u32; OWNERS.len()],
    /// What the living planners of each owner say.
    plans: BTreeMap<u32, BTreeMap<usize, usize>>,
    /// Somebody somewhere lacks room, so that what is idle may go.
    room_wanted: bool,
    /// How many leases were granted since, before anything made room.
    wanted_for: Option<usize>,
    /// Those whose deployment failed in this moment, and who were told.
    refused: BTreeSet<Client>,
    over: bool,
}

pub(super) fn owner(number: u32) -> Process {
    Process { pid: number + 1, start: 1 }
}

fn keeping(owner: u32) -> Keeping {
    OWNERS[owner as usize % OWNERS.len()]
}

/// The client that stands for the plans of an owner's program.
fn planner(owner: u32) -> Client {
    u64::from(owner) + 1_000_000
}

pub(super) fn nodes_of(key: usize) -> usize {
    [2, 3, 5, NODES + 1][key]
}

/// What is left of a cluster that was torn down.
fn left(cluster: ClusterId) -> Option<String> {
    cluster.is_multiple_of(3).then(|| format!("a folder of cluster {cluster}"))
}

pub(super) fn case(client: Client) -> String {
    // Some cases have one name.
    format!("case {}", if client.is_multiple_of(5) { 0 } else { client })
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::new(NODES);
    ledger.patience = PATIENCE;
    ledger
}

impl Model {
    fn new() -> Self {
        Self {
            ledger: ledger(),
            now: Duration::ZERO,
            clients: 0,
            waiting: Vec::new(),
            overtaken: BTreeMap::new(),
            fresh: BTreeMap::new(),
            leaving: BTreeMap::new(),
            asked: None,
            clusters: BTreeMap::new(),
            gone: BTreeMap::new(),
            blamed: BTreeMap::new(),
            owner_of: BTreeMap::new(),
            owners: BTreeSet::new(),
            ended: [0; OWNERS.len()],
            plans: BTreeMap::new(),
            room_wanted: false,
            wanted_for: None,
            refused: BTreeSet::new(),
            over: false,
        }
    }

    fn holders(&self) -> Vec<(Client, ClusterId)> {
        let clusters = self.clusters.iter();
        clusters.flat_map(|(id, seen)| seen.holders.keys().map(|client| (*client, *id))).collect()
    }

    fn those(&self, which: impl Fn(&Seen) -> bool) -> Vec<ClusterId> {
        self.clusters.iter().filter(|(_, seen)| which(seen)).map(|(id, _)| *id).collect()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Attach { owner, key, sharing, reserve } => {
                self.attach(self.incarnation(*owner), *key, *sharing, *reserve);
            }
            Step::Draw(who, count) => {
                let holders = self.holders().into_iter().map(|(client, _)| client);
                let all: Vec<_> = holders.chain(self.waiting.first().map(|(client, _)| *client)).collect();
                if let Some(client) = chosen(*who, &all) {
                    self.asked = Some((client, *count));
                    self.happens(Event::Draw { client, count: *count });
                    assert_eq!(self.asked, None, "a draw is not answered");
                }
            }
            Step::Release(who, passed) => {
                if let Some((client, cluster)) = chosen(*who, &self.holders()) {
                    self.release(client, cluster, *passed);
                }
            }
            Step::Die(who) => {
                let mut all: Vec<_> = self.holders().into_iter().map(|(client, _)| client).collect();
                all.extend(self.waiting.iter().map(|(client, _)| *client));
                all.extend(self.leaving.keys().copied());
                if let Some(client) = chosen(*who, &all) {
                    self.die(client);
                }
            }
            Step::Deploy(which, well) => {
                if let Some(cluster) = chosen(*which, &self.those(|seen| !seen.deployed && !seen.ending)) {
                    self.deploy(cluster, *well);
                }
            }
            Step::Gate(which, well) => {
                if let Some(cluster) = chosen(*which, &self.those(|seen| seen.gating)) {
                    self.gate(cluster, *well);
                }
            }
            Step::TearDown(which) => {
                if let Some(cluster) = chosen(*which, &self.those(|seen| seen.ending)) {
                    self.tear_down(cluster);
                }
            }
            Step::Plan { owner, key, users } => self.plan(self.incarnation(*owner), *key, *users),
            Step::PlannerDies(owner) => self.planner_dies(self.incarnation(*owner)),
            Step::Pass(seconds) => {
                self.now += Duration::from_secs(*seconds);
                self.happens(Event::Time);
            }
            Step::RoomWanted(wanted) => self.want_room(*wanted),
            Step::OwnerGone(owner) => self.owner_gone(self.incarnation(*owner)),
            Step::KeeperDies => self.keeper_dies(),
            Step::Keep(who) => {
                if let Some((client, cluster)) = chosen(*who, &self.holders()) {
                    self.clusters.get_mut(&cluster).unwrap().kept_until = self.now + KEPT;
                    self.happens(Event::Keep { client });
                }
            }
            Step::LacksRoom(which, lacks) => {
                if let Some(cluster) = chosen(*which, &self.those(|seen| !seen.deployed && !seen.ending)) {
                    let others = lacks.then(|| "others have it".to_owned());
                    self.happens(Event::LacksRoom { cluster, others });
                }
            }
            Step::Resign(who) => {
                let waiting: Vec<_> = self.waiting.iter().map(|(client, _)| *client).collect();
                if let Some(client) = chosen(*who, &waiting) {
                    self.waiting.retain(|(waiting, _)| *waiting != client);
                    self.leaving.insert(client, 0);
                    self.happens(Event::Release { client, passed: true });
                    assert!(!self.leaving.contains_key(&client), "who resigns is not told");
                }
            }
            Step::AttachTooMuch(owner) => {
                self.attach(self.incarnation(*owner), 3, Sharing::Shared, None);
                assert!(self.waiting.iter().all(|(_, wish)| wish.nodes <= NODES), "it waits for ever");
            }
        }
    }

    /// A client says whose it is, as every one does first.
    fn own(&mut self, client: Client, of: u32) {
        self.owner_of.insert(client, of);
        self.owners.insert(of);
        self.adopt();
        self.happens(Event::Owned { client, owner: owner(of), keeping: keeping(of) });
    }

    /// Whatever lingers is for an owner that lets clusters linger, too.
    fn adopt(&mut self) {
        let living = self.owners.clone();
        let Some(adopts) = living.iter().find(|owner| !keeping(**owner).linger.is_zero()) else { return };
        self.clusters
            .values_mut()
            .filter(|seen| seen.lingers(&living))
            .for_each(|seen| _ = seen.owners.insert(*adopts));
    }

    /// The owner of a number that lives now or is the next to: who ended never comes again.
    fn incarnation(&self, number: u32) -> u32 {
        number + self.ended[number as usize] * OWNERS.len() as u32
    }

    fn attach(&mut self, of: u32, key: usize, sharing: Sharing, reserve: Option<usize>) {
        self.clients += 1;
        let (client, nodes) = (self.clients, nodes_of(key));
        self.own(client, of);
        let (key, case) = (key.to_string(), case(client));
        let wish = Wish { key, case, pid: 1, sharing, nodes, accounts: ACCOUNTS, reserve };
        self.waiting.push((client, wish.clone()));
        self.happens(Event::Attach { client, wish });
    }

    fn plan(&mut self, of: u32, key: usize, users: usize) {
        // The plans come before the owner, as they do on one connection.
        self.plans.entry(of).or_default().insert(key, users);
        self.happens(Event::Planned { client: planner(of), key: key.to_string(), users });
        self.own(planner(of), of);
    }

    fn planner_dies(&mut self, of: u32) {
        self.plans.remove(&of);
        self.happens(Event::Gone { client: planner(of) });
    }

    fn owner_gone(&mut self, of: u32) {
        if self.owners.remove(&of) {
            self.ended[of as usize % OWNERS.len()] += 1;
        }
        self.adopt();
        self.happens(Event::OwnerGone { owner: owner(of) });
    }

    /// Somebody elsewhere lacks room: an idle cluster ends, or else after so many grants one is granted no more.
    fn want_room(&mut self, wanted: bool) {
        let grants = self.wanted_for.unwrap_or(0);
        let is_enough = wanted && grants >= PATIENCE;
        let ending = self.those(|seen| seen.ending).len();
        let mut makes_room = None;
        let now = self.now;
        let in_use = |seen: &Seen| {
            let used = seen.granted > 0 && !seen.fresh && !seen.ending && seen.bad.is_none();
            used && !seen.makes_room && seen.kept_until <= now
        };
        for (id, seen) in self.clusters.iter_mut().filter(|(_, seen)| is_enough && in_use(seen)) {
            let is_certain = !seen.may_be_used_up();
            makes_room = makes_room.or(Some((*id, is_certain)));
            seen.may_make_room = true;
            if is_certain {
                break;
            }
        }
        self.room_wanted = wanted;
        self.happens(Event::RoomWanted(wanted));
        self.room_wanted = false;
        let ended = self.those(|seen| seen.ending).len() > ending;
        self.wanted_for = wanted.then_some(if ended || is_enough { 0 } else { grants });
        if let Some((id, true)) = makes_room.filter(|_| !ended) {
            self.clusters.get_mut(&id).unwrap().makes_room = true;
        }
    }

    /// Clusters end with their keeper; whoever waits asks the next one, whoever has a lease has lost it.
    fn keeper_dies(&mut self) {
        self.ledger = ledger();
        self.wanted_for = None;
        self.clusters.clear();
        self.gone.clear();
        self.overtaken.clear();
        self.leaving.clear();
        self.blamed.clear();
        self.owners.clear();
        let plans = std::mem::take(&mut self.plans);
        for (of, plans) in plans {
            plans.into_iter().for_each(|(key, users)| self.plan(of, key, users));
        }
        for (client, wish) in std::mem::take(&mut self.waiting) {
            self.own(client, self.owner_of[&client]);
            self.waiting.push((client, wish.clone()));
            self.happens(Event::Attach { client, wish });
        }
    }

    fn release(&mut self, client: Client, cluster: ClusterId, passed: bool) {
        let seen = self.clusters.get_mut(&cluster).unwrap();
        seen.leaves(client);
        seen.used = self.now;
        seen.unchecked = true;
        if !passed {
            let culprits = seen.overlapping(client);
            self.blame(cluster, culprits);
        }
        self.leaving.insert(client, cluster);
        self.happens(Event::Release { client, passed });
    }

    fn die(&mut self, client: Client) {
        self.waiting.retain(|(waiting, _)| *waiting != client);
        self.leaving.remove(&client);
        if let Some((_, cluster)) = self.holders().into_iter().find(|(holder, _)| *holder == client) {
            let seen = self.clusters.get_mut(&cluster).unwrap();
            let was_alone = seen.holders[&client] != Sharing::Shared;
            seen.leaves(client);
            seen.used = self.now;
            seen.unchecked = true;
            if was_alone {
                let culprits = seen.overlapping(client);
                self.blame(cluster, culprits);
            }
        }
        self.happens(Event::Gone { client });
    }

    fn deploy(&mut self, cluster: ClusterId, well: bool) {
        if well {
            self.clusters.get_mut(&cluster).unwrap().deployed = true;
            self.happens(Event::Deployed { cluster });
        } else {
            let seen = self.clusters.remove(&cluster).unwrap();
            let served = self.waiting.iter().filter(|(client, wish)| match wish.sharing {
                Sharing::Fresh => self.fresh.get(client) == Some(&cluster),
                _ => seen.key == wish.key && !seen.fresh && !seen.lingers(&self.owners),
            });
            let served: BTreeSet<_> = served.map(|(client, _)| *client).collect();
            let waited: BTreeSet<_> = self.waiting.iter().map(|(client, _)| *client).collect();
            let failure = Failure::new(FailureClass::Infrastructure, "deploy");
            self.happens(Event::DeployFailed { cluster, failure });
            let waits = |client: &Client| self.waiting.iter().any(|(waiting, _)| waiting == client);
            assert!(!served.iter().any(waits), "who waited for it is refused");
            assert!(self.refused.is_subset(&served) && served.is_subset(&waited), "and nobody else is");
        }
    }

    fn gate(&mut self, cluster: ClusterId, well: bool) {
        let seen = self.clusters.get_mut(&cluster).unwrap();
        seen.gating = false;
        seen.used = self.now;
        if !well {
            let culprits = seen.suspects.clone();
            self.blame(cluster, culprits);
        } else if !seen.unchecked {
            seen.suspects = seen.holders.keys().map(|client| case(*client)).collect();
        }
        let found = if well { Ok(()) } else { Err("a node is dead".to_owned()) };
        self.happens(Event::Gated { cluster, found });
    }

    fn tear_down(&mut self, cluster: ClusterId) {
        let seen = self.clusters.remove(&cluster).unwrap();
        assert!(seen.holders.is_empty(), "a cluster in use was torn down");
        self.gone.insert(cluster, seen);
        self.happens(Event::TornDown { cluster, left: left(cluster) });
        assert!(self.leaving.values().all(|left| *left != cluster), "who left last was not told");
    }

    fn blame(&mut self, cluster: ClusterId, culprits: BTreeSet<String>) {
        let seen = self.clusters.get_mut(&cluster).unwrap();
        seen.bad.get_or_insert_default().extend(culprits);
        if !seen.fresh {
            self.blamed.insert(seen.key.clone(), seen.bad.clone().unwrap_or_default());
        }
    }

    fn happens(&mut self, event: Event) {
        self.refused.clear();
        for effect in self.ledger.handle(self.now, event) {
            self.watch(effect);
        }
        let hopeless = self.waiting.iter().find(|(client, wish)| self.is_hopeless(*client, wish));
        assert!(hopeless.is_none(), "{hopeless:?} waits for what is kept");
        let nodes: usize = self.clusters.values().map(|seen| seen.nodes).sum();
        assert!(nodes <= NODES, "{nodes} nodes are more than there may be");
    }

    /// Lets everything that is under way come to a good end.
    fn come_to_rest(&mut self) {
        for _ in 0..1_000 {
            let deploying = self.those(|seen| !seen.deployed && !seen.ending);
            let gating = self.those(|seen| seen.gating);
            let ending = self.those(|seen| seen.ending);
            let holders = self.holders();
            if [deploying.len(), gating.len(), ending.len(), holders.len()] == [0; 4] {
                return;
            }
            deploying.into_iter().for_each(|cluster| self.deploy(cluster, true));
            gating.into_iter().for_each(|cluster| self.gate(cluster, true));
            self.those(|seen| seen.ending).into_iter().for_each(|cluster| self.tear_down(cluster));
            holders.into_iter().for_each(|(client, cluster)| self.release(client, cluster, true));
        }
        panic!("it never comes to rest");
    }
}

fn chosen<T: Copy>(which: usize, from: &[T]) -> Option<T> {
    from.get(which.checked_rem(from.len())?).copied()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_promise_is_kept(steps in prop::collection::vec(any::<u64>(), 1..60)) {
        let mut model = Model::new();
        for step in steps {
            model.step(&Step::of(step));
            if model.over {
                model = Model::new();
            }
        }
        model.come_to_rest();
        assert!(model.waiting.is_empty(), "they wait for ever: {:?}", model.waiting);
        assert!(model.leaving.is_empty(), "they are never told: {:?}", model.leaving);
        let ends = !model.owners.is_empty();
        for owner in model.plans.keys().copied().collect::<Vec<_>>() {
            model.planner_dies(owner);
            model.come_to_rest();
        }
        for owner in model.owners.clone() {
            model.owner_gone(owner);
            model.come_to_rest();
        }
        while let Some(due) = model.ledger.due() {
            model.now = due;
            model.happens(Event::Time);
            model.come_to_rest();
        }
        assert!(model.clusters.is_empty() && (model.over || !ends), "it stays without an owner");
    }
}
