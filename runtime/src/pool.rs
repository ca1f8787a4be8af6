//! Who may use which cluster when, and how much of the machine: clusters are shared where nobody can tell.
//!
//! A case [asks](Pool::lease) for a lease; a [host](host) grants it by the [ledger](ledger)'s rules and owns the
//! cluster. The host is in a process of its own, the [keeper](keeper), so that a cluster can outlive a test
//! program, and never outlives its invocation; for clusters that live in memory it is in the test program.
//! After each lease the [gate](gate) looks whether the cluster may be used again. The [budget] of nodes is common
//! to all hosts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::case::Sharing;
use crate::deployer::{Backend, DeployError};
use crate::env;
use crate::failure::{Failure, FailureClass};
use crate::node::NodeProgram;
use crate::plan::{ClusterKey, Plan};
use crate::process::{Invocation, Process};
use crate::run;
use crate::scenario::Scenario;
use crate::telemetry::identity;

pub(crate) mod budget;
mod counts;
mod gate;
mod host;
pub(crate) mod keeper;
mod lease;
mod ledger;
pub(crate) mod listing;
mod wire;

use counts::Counts;
use host::{Host, HostHandle};
use keeper::Ground;
use lease::Denied;
pub(crate) use lease::{Calls, Lease};
use ledger::{Keeping, Reason, Wish};
pub(crate) use ledger::{Poison, Released, named};
pub(crate) use wire::Granted;
use wire::{Health, Link, Order, Owning, Plans, Request};

/// How long a cluster that no case of this program will use stays for the next test program of `cargo test`.
const BETWEEN_PROGRAMS: Duration = Duration::from_secs(5);
/// The least time in which a healthy cluster gets over what a lease did to it.
const PATIENCE: Duration = Duration::from_secs(15);
/// So many keepers may die under a case that waits for its cluster.
const KEEPERS: usize = 3;

/// The clusters of this program's cases.
pub(crate) struct Pool {
    backends: Vec<Backend>,
    program: Arc<dyn NodeProgram>,
    parts: keeper::Parts,
    owning: Owning,
    /// Whether cases of this program say beforehand what they will use.
    plans: bool,
    /// How many cases of this program will still use clusters of a key.
    planned: Mutex<Plans>,
    /// The keys of clusters with what they run, by those without.
    keys: Mutex<HashMap<(String, ClusterKey), ClusterKey>>,
    /// Connections that live as long as this program and carry its plans: to the keeper, and within memory.
    sessions: [tokio::sync::Mutex<Option<Link>>; 2],
    memory: OnceLock<HostHandle>,
    counts: Mutex<Counts>,
    /// What carries connections, which must not end with the runtime of a case.
    carriers: Runtime,
}

/// A lease, and how it came about.
pub(crate) struct Leased {
    pub(crate) lease: Lease,
    /// Keepers that died meanwhile.
    pub(crate) keepers_lost: usize,
}

impl Pool {
    /// The clusters of a program with these backends, among them those of its own scenarios.
    ///
    /// # Errors
    ///
    /// There can be no runtime.
    pub(crate) fn new(
        backends: Vec<Backend>,
        program: Arc<dyn NodeProgram>,
        parts: keeper::Parts,
    ) -> std::io::Result<Self> {
        let (owner, invocation) = Process::invocation();
        let grace = match invocation {
            Invocation::Cargo => Some(BETWEEN_PROGRAMS),
            Invocation::Nextest => None,
            Invocation::Itself => Some(Duration::ZERO),
        };
        Ok(Self {
            backends,
            program,
            parts,
            owning: Owning { owner, keeping: Keeping { grace, linger: env::settings().linger } },
            plans: grace.is_some(),
            planned: Mutex::default(),
            keys: Mutex::default(),
            sessions: Default::default(),
            memory: OnceLock::new(),
            counts: Mutex::default(),
            carriers: Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
        })
    }

    /// Whether cases of this program say beforehand what they will use.
    pub(crate) fn wants_plans(&self) -> bool {
        self.plans
    }

    /// Says that a case will use clusters of a scenario's key.
    pub(crate) fn plan(&self, backend: &Backend, scenario: &Scenario) {
        // What is not there to be run is told when the cluster is asked for.
        if let Ok(key) = self.carriers.block_on(self.key(backend, scenario)) {
            *self.planned().entry(key.hex()).or_default() += 1;
        }
    }

    /// The key of a scenario's cluster with what it runs.
    async fn key(&self, backend: &Backend, scenario: &Scenario) -> Result<ClusterKey, DeployError> {
        let key = scenario.key(backend.name());
        let known = (backend.id(), key.clone());
        let keys = || self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = keys().get(&known) {
            return Ok(running.clone());
        }
        let identity = backend.deployer().identity(&scenario.plan_without_accounts(backend.name())).await?;
        let running = key.running(&format!("{} {identity}", backend.id()));
        keys().insert(known, running.clone());
        Ok(running)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many clusters were made for the cases of this program, and why; nothing where none had one.
    pub(crate) fn summary(&self) -> Option<String> {
        self.counts().summary()
    }

    fn planned(&self) -> MutexGuard<'_, Plans> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a case that was planned will use no cluster any more; `lease` is the one it has, if any.
    pub(crate) async fn unplan(&self, backend: &Backend, scenario: &Scenario, lease: Option<&Lease>) {
        let Ok(key) = self.key(backend, scenario).await.map(|key| key.hex()) else { return };
        let users = {
            let mut planned = self.planned();
            let Some(users) = planned.get_mut(&key) else { return };
            *users = users.saturating_sub(1);
            *users
        };
        let planned = Request::Planned { process: Process::this(), key, users };
        match lease {
            // What is said on one connection is heard in its order.
            Some(lease) => lease.say(planned),
            None => {
                if let Some(session) = &*self.session_of(backend).lock().await {
                    // A keeper that is gone needs to know nothing.
                    let _ = session.requests.send(planned);
                }
            }
        }
    }

    /// Waits for a cluster of the scenario for a case, and a run of it by its id; `waits` hears what for.
    ///
    /// # Errors
    ///
    /// The cluster cannot be deployed, or there is nobody to own it.
    pub(crate) async fn lease(
        &self,
        backend: &Backend,
        scenario: &Scenario,
        (case, run): (&str, &str),
        sharing: Sharing,
        waits: impl Fn(String),
    ) -> Result<Leased, Failure> {
        let key = self.key(backend, scenario).await.map_err(Failure::from)?;
        for keepers_lost in 0..=KEEPERS {
            let link = self.connect(backend).await?;
            let order = || {
                let mut order = order(backend, scenario, key.clone());
                if sharing == Sharing::Fresh {
                    identity::belongs_to(&mut order.plan, case, run);
                }
                order
            };
            match Lease::ask(link, wish(scenario, &key, case, sharing), key.clone(), order, &waits).await {
                Ok(mut lease) => {
                    let made = &mut lease.granted.grant.made;
                    if keepers_lost > 0 && *made == Some(Reason::First) {
                        *made = Some(Reason::KeeperLost);
                    }
                    self.counts().lease(key.hex(), *made);
                    return Ok(Leased { lease, keepers_lost });
                }
                Err(Denied::Refused(failure)) => return Err(failure),
                Err(Denied::Gone(keeper)) => {
                    let before = keeper.map(|pid| format!(", process {pid},")).unwrap_or_default();
                    waits(format!("waiting for another keeper: the one before{before} ended"));
                }
            }
        }
        Err(Failure::new(FailureClass::Infrastructure, "keeper")
            .expected("a process that owns clusters for as long as they are needed")
            .seen(format!("{} of them ended before the case had its cluster", KEEPERS + 1))
            .look(self.ground()?.log().display().to_string())
            .try_next("see what ends them: the machine may lack memory"))
    }

    fn session_of(&self, backend: &Backend) -> &tokio::sync::Mutex<Option<Link>> {
        &self.sessions[usize::from(backend.deployer().in_memory())]
    }

    /// A connection to the host of a backend's clusters, which knows this program's plans.
    async fn connect(&self, backend: &Backend) -> Result<Link, Failure> {
        if self.plans {
            let mut session = self.session_of(backend).lock().await;
            if session.as_ref().is_none_or(Link::is_closed) {
                let planned = self.planned().clone();
                *session = Some(self.open(backend, planned).await?);
            }
        }
        self.open(backend, Plans::new()).await
    }

    async fn open(&self, backend: &Backend, plans: Plans) -> Result<Link, Failure> {
        let _entered = self.carriers.handle().enter();
        if backend.deployer().in_memory() {
            let link = self.memory().link();
            // What lives in memory ends with this process in any case.
            let owning = Owning { owner: Process::this(), keeping: Keeping::default() };
            let _ = link.requests.send(owning.said(plans));
            return Ok(link);
        }
        let order = keeper::Order { ground: self.ground()?, owning: self.owning };
        on(self.carriers.handle(), async move { keeper::connect(&order, plans).await }).await
    }

    fn ground(&self) -> Result<Ground, Failure> {
        Ground::of(&self.parts)
    }

    /// The host of clusters that live in this process's memory.
    fn memory(&self) -> &HostHandle {
        self.memory.get_or_init(|| {
            let (backends, most) = (self.backends.clone(), env::settings().max_nodes);
            let (host, handle) = Host::new(backends, Arc::clone(&self.program), most, false);
            self.carriers.spawn(host.run());
            handle
        })
    }
}

/// Awaits something on another runtime.
async fn on<T: Send + 'static>(runtime: &Handle, task: impl Future<Output = T> + Send + 'static) -> T {
    runtime.spawn(task).await.expect("the task does not panic, and its runtime lives")
}

fn wish(scenario: &Scenario, key: &ClusterKey, case: &str, sharing: Sharing) -> Wish {
    Wish {
        key: key.hex(),
        case: case.to_owned(),
        pid: std::process::id(),
        sharing,
        nodes: scenario.topology().nodes().len(),
        accounts: scenario.accounts.len(),
        reserve: scenario.wallets,
    }
}

fn order(backend: &Backend, scenario: &Scenario, key: ClusterKey) -> Order {
    Order {
        backend: backend.id(),
        invocation: run::invocation().to_owned(),
        plan: Plan { key, ..scenario.plan(backend.name()) },
        health: health(scenario),
    }
}

/// What a cluster of the scenario's looks like that is well.
fn health(scenario: &Scenario) -> Health {
    const BLOCKS: u64 = 7;
    let (topology, growth) = (scenario.topology(), scenario.growth());
    let slot = topology.consensus().slot;
    let landed = crate::scenario::slots(slot, growth.slots_for(BLOCKS, crate::scenario::FALSE_FAILURES) + 1);
    let nodes = topology.nodes().iter().enumerate();
    Health {
        slot,
        stall: growth.slots_for(1, crate::scenario::FALSE_FAILURES) + 1,
        patience: env::settings().scaled(landed.max(PATIENCE)),
        peers: nodes.map(|(index, node)| (node.name.clone(), topology.peers_at_start(index))).collect(),
    }
}

impl Link {
    /// Whether the host is gone.
    fn is_closed(&self) -> bool {
        self.requests.is_closed() || self.replies.is_closed()
    }
}
