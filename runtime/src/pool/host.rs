//! The one task that owns clusters: it tells the [ledger](super::ledger) what happens and does what that says.
//!
//! It is the same in the keeper's process and, for clusters that live in memory, in the test program's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use super::budget;
use super::ledger::{Client, ClusterId, Effect, Event, KEPT, Ledger};
use super::wire::{Answer, Call, Granted, Owning, Reply, Request};
use crate::deployer::{Backend, ClusterError, DynCluster};
use crate::failure::Failure;
use crate::node::NodeProgram;
use crate::process::Process;
use crate::runner::panic_text;
use crate::wait;

mod clusters;
mod handle;
#[cfg(test)]
mod tests;
use clusters::{Made, panicked};
pub(crate) use handle::HostHandle;

/// How often a host with clusters looks whether another one lacks their room.
const LOOK: Duration = Duration::from_secs(1);

/// What a host is told.
enum Input {
    Connected { client: Client, replies: mpsc::UnboundedSender<Reply> },
    Request { client: Client, request: Request },
    Closed { client: Client },
    Made { cluster: ClusterId, made: Result<Made, Failure> },
    TornDown { cluster: ClusterId, left: Option<String> },
    Happened(Event),
    OwnerEnded(Process),
    Ends,
}

struct ClientState {
    replies: mpsc::UnboundedSender<Reply>,
    /// What it was told last that it waits for.
    waits_for: String,
    cluster: Option<ClusterId>,
    /// The calls whose answers the ledger gives.
    asked: Vec<u64>,
    calls: JoinSet<()>,
}

impl ClientState {
    /// A client that is gone is told nothing.
    fn reply(&self, reply: Reply) {
        let _ = self.replies.send(reply);
    }
}

/// Owns clusters.
pub(crate) struct Host {
    backends: Arc<[Backend]>,
    program: Arc<dyn NodeProgram>,
    most: usize,
    /// Whether it says on stderr what it does.
    tells: bool,
    began: Instant,
    ledger: Ledger,
    inputs: mpsc::UnboundedSender<Input>,
    received: mpsc::UnboundedReceiver<Input>,
    clients: HashMap<Client, ClientState>,
    /// Clusters to be made, and who was asked by what.
    ordered: BTreeMap<ClusterId, Option<Client>>,
    deploying: HashMap<ClusterId, AbortHandle>,
    made: HashMap<ClusterId, Made>,
    /// Clusters whose teardown is on its way.
    ending: BTreeSet<ClusterId>,
    backend_of: HashMap<ClusterId, String>,
    owners: BTreeSet<Process>,
    /// Who speaks of the plans of a process.
    planners: HashMap<Process, Client>,
    exits: bool,
}

impl Host {
    /// A host of the clusters of these backends, which have at most so many nodes together.
    pub(crate) fn new(
        backends: Vec<Backend>,
        program: Arc<dyn NodeProgram>,
        most: usize,
        tells: bool,
    ) -> (Self, HostHandle) {
        let (inputs, received) = mpsc::unbounded_channel();
        let handle = HostHandle::new(inputs.clone());
        let host = Self {
            backends: backends.into(),
            program,
            most,
            tells,
            began: Instant::now(),
            ledger: Ledger::new(most),
            inputs,
            received,
            clients: HashMap::new(),
            ordered: BTreeMap::new(),
            deploying: HashMap::new(),
            made: HashMap::new(),
            ending: BTreeSet::new(),
            backend_of: HashMap::new(),
            owners: BTreeSet::new(),
            planners: HashMap::new(),
            exits: false,
        };
        (host, handle)
    }

    /// Serves until nobody needs it any more; nothing is left then.
    pub(crate) async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.exits {
            let has_room = !self.made.is_empty();
            let due = self.ledger.due().map(|due| self.began + due);
            let input = tokio::select! {
                input = self.received.recv() => input.unwrap_or(Input::Ends),
                () = until(due) => Input::Happened(Event::Time),
                _ = looks.tick(), if has_room => Input::Happened(Event::RoomWanted(budget::is_wanted())),
            };
            self.handle(input);
        }
        self.end().await;
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Connected { client, replies } => {
                let state = ClientState {
                    replies,
                    waits_for: String::new(),
                    cluster: None,
                    asked: Vec::new(),
                    calls: JoinSet::new(),
                };
                self.clients.insert(client, state);
            }
            Input::Request { client, request } => self.request(client, request),
            Input::Closed { client } => {
                self.clients.remove(&client);
                self.planners.retain(|_, planner| *planner != client);
                self.happened(Event::Gone { client });
            }
            Input::Made { cluster, made } => self.made(cluster, made),
            Input::TornDown { cluster, left } => {
                self.torn_down(cluster);
                self.happened(Event::TornDown { cluster, left });
            }
            Input::Happened(event) => self.happened(event),
            Input::OwnerEnded(owner) => {
                self.owners.remove(&owner);
                self.happened(Event::OwnerGone { owner });
            }
            Input::Ends => self.exits = true,
        }
    }

    fn request(&mut self, client: Client, request: Request) {
        match request {
            Request::Own { owning, process, plans } => {
                for (key, users) in plans {
                    self.planned(client, process, key, users);
                }
                self.own(client, owning);
            }
            Request::Planned { process, key, users } => self.planned(client, process, key, users),
            Request::Attach(wish) => self.happened(Event::Attach { client, wish }),
            Request::Provide(order) => {
                let asked = self.ordered.iter().find(|(_, asked)| **asked == Some(client));
                if let Some(cluster) = asked.map(|(cluster, _)| *cluster) {
                    self.ordered.remove(&cluster);
                    self.deploy(cluster, *order);
                }
            }
            Request::Call { id, call } => self.call(client, id, call),
            Request::List => {
                let mut listed = self.ledger.list();
                for cluster in &mut listed {
                    let Some(id) = cluster.cluster else { continue };
                    let directory =
                        self.made.get(&id).map(|made| made.place.directory().display().to_string());
                    cluster.directory = directory.unwrap_or_default();
                    cluster.backend = self.backend_of.get(&id).cloned().unwrap_or_default();
                }
                self.reply(client, Reply::Clusters(listed));
            }
        }
    }

    fn planned(&mut self, client: Client, process: Process, key: String, users: usize) {
        let client = *self.planners.entry(process).or_insert(client);
        self.happened(Event::Planned { client, key, users });
    }

    /// Lets clusters live for an owner, until that ends.
    fn own(&mut self, client: Client, Owning { owner, keeping }: Owning) {
        if self.owners.insert(owner) {
            let inputs = self.inputs.clone();
            tokio::spawn(async move {
                owner.ended().await;
                let _ = inputs.send(Input::OwnerEnded(owner));
            });
        }
        self.happened(Event::Owned { client, owner, keeping });
    }

    fn call(&mut self, client: Client, id: u64, call: Call) {
        let Some(state) = self.clients.get_mut(&client) else { return };
        match call {
            Call::Draw { count } => {
                state.asked.push(id);
                self.happened(Event::Draw { client, count });
            }
            Call::Keep => {
                if let Some(made) = state.cluster.and_then(|cluster| self.made.get(&cluster)) {
                    made.budget.keep(KEPT);
                }
                self.reply(client, Reply::Answer { id, answer: Answer::Kept { keeper: std::process::id() } });
                self.happened(Event::Keep { client });
            }
            Call::Release { passed } => {
                state.asked.push(id);
                self.happened(Event::Release { client, passed });
            }
            call => {
                let made = state.cluster.and_then(|cluster| self.made.get(&cluster));
                let Some(cluster) = made.map(|made| Arc::clone(&made.cluster)) else {
                    return self.reply(client, Reply::Answer { id, answer: Answer::Failed(lost()) });
                };
                let replies = state.replies.clone();
                state.calls.spawn(async move {
                    let answered = AssertUnwindSafe(answered(&*cluster, call)).catch_unwind().await;
                    let answer = answered.unwrap_or_else(|panic| Answer::Failed(panicked_call(&*panic)));
                    let _ = replies.send(Reply::Answer { id, answer });
                });
            }
        }
    }

    fn happened(&mut self, event: Event) {
        for effect in self.ledger.handle(self.began.elapsed(), event) {
            self.perform(effect);
        }
        self.ask_for_orders();
        for (client, waits_for) in self.ledger.waits().collect::<Vec<_>>() {
            let Some(state) = self.clients.get_mut(&client) else { continue };
            if state.waits_for != waits_for {
                state.waits_for.clone_from(&waits_for);
                self.reply(client, Reply::Waiting(waits_for));
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Deploy { cluster, .. } => _ = self.ordered.insert(cluster, None),
            Effect::Grant { client, grant } => {
                let Some(made) = self.made.get(&grant.cluster) else { return };
                if let Some(state) = self.clients.get_mut(&client) {
                    state.cluster = Some(grant.cluster);
                }
                let granted = Granted {
                    grant,
                    description: made.cluster.description().clone(),
                    directory: made.place.directory().to_owned(),
                    cluster: Some(Arc::clone(&made.cluster)),
                };
                self.reply(client, Reply::Granted(Box::new(granted)));
            }
            Effect::Refuse { client, failure } => self.reply(client, Reply::Refused(failure)),
            Effect::Drawn { client, accounts } => self.answer(client, Answer::Drawn(accounts)),
            Effect::Gate { cluster, thorough } => {
                let Some(gate) = self.made.get(&cluster).map(|made| Arc::clone(&made.gate)) else { return };
                let tells = self.tells;
                let gate = async move { gate.pass(thorough).await };
                self.begin(gate, move |ended| {
                    let found = ended.unwrap_or_else(|panic| Err(panicked("the look at it", panic)));
                    if let Err(reason) = &found {
                        note(tells, format_args!("cluster {cluster} is not well: {reason}"));
                    }
                    Input::Happened(Event::Gated { cluster, found })
                });
            }
            Effect::TearDown { cluster } => self.tear_down(cluster),
            Effect::Released { client, released } => self.answer(client, Answer::Released(released)),
            Effect::Exit => self.exits = true,
        }
    }

    /// Asks those who wait for clusters that nobody has said yet how to make.
    fn ask_for_orders(&mut self) {
        let mut ordered = std::mem::take(&mut self.ordered);
        for (&cluster, asked) in &mut ordered {
            if asked.is_none_or(|asked| !self.clients.contains_key(&asked)) {
                *asked = self.ledger.waiter_for(cluster);
                asked.iter().for_each(|client| self.reply(*client, Reply::Provide));
            }
        }
        self.ordered = ordered;
    }

    fn answer(&mut self, client: Client, answer: Answer) {
        let asked = self.clients.get_mut(&client).and_then(|state| state.asked.pop());
        if let Some(id) = asked {
            self.reply(client, Reply::Answer { id, answer });
        }
    }

    fn reply(&self, client: Client, reply: Reply) {
        if let Some(state) = self.clients.get(&client) {
            state.reply(reply);
        }
    }
}

/// What a call is answered whose cluster is not there, or not any more.
fn lost() -> ClusterError {
    ClusterError { subject: "cluster".to_owned(), what: "its keeper has ended it, or is about to".to_owned() }
}

fn panicked_call(panic: &(dyn std::any::Any + Send)) -> ClusterError {
    let what = format!("the backend panicked when it was asked: {}", panic_text(panic));
    ClusterError { subject: "cluster".to_owned(), what }
}

async fn answered(cluster: &dyn DynCluster, call: Call) -> Answer {
    match call {
        Call::States { newer_than } => Answer::States(cluster.states(newer_than).await),
        Call::Control { node, action } => Answer::Control(cluster.control(&node, action).await),
        Call::Replan { node } => Answer::Replanned(cluster.replan(*node).await),
        Call::Disturb { faults } => Answer::Disturbed(cluster.disturb(faults).await),
        Call::Links => Answer::Links(cluster.links().await),
        Call::Logs { node, part } => Answer::Logs(cluster.logs(&node, part).await),
        Call::Usage { node } => Answer::Usage(cluster.usage(&node).await),
        Call::Draw { .. } | Call::Keep | Call::Release { .. } => unreachable!("the ledger answers these"),
    }
}

/// Says on stderr which host does what. Where nobody can read that, such as on a full disk, it goes on all the same.
pub(super) fn note(tells: bool, what: std::fmt::Arguments<'_>) {
    if tells {
        let _ = writeln!(std::io::stderr(), "keeper {}: {what}", std::process::id());
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => wait::pause_until(time).await,
        None => std::future::pending().await,
    }
}
