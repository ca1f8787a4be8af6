//! Does what the plan says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::log::ChaosLog;
use super::{Back, FaultPlan, PlannedFault, When};
use crate::context::RunContext;
use crate::deployer::{ClusterError, NodeAction};
use crate::failure::{Failure, FailureClass, RunFailed};
use crate::faults::{Fault, NetworkFault, Sides};
use crate::scenario::slots;
use crate::topology::{Role, Topology};
use crate::wait::pause_until;
use crate::workload::Counters;

/// Does what the plan says.
#[derive(Clone)]
pub(super) struct Actor {
    cx: RunContext,
    log: Arc<ChaosLog>,
    down: Arc<Limit>,
    /// How much later than planned restarts come, because one of them had to wait. Whoever has the lock is next.
    behind: Arc<tokio::sync::Mutex<Duration>>,
    /// When the drive began, and how high the chain was then.
    since: Instant,
    base: u64,
}

impl Actor {
    pub(super) fn new(cx: &RunContext, max_down: Option<usize>) -> Self {
        Self {
            cx: cx.clone(),
            log: cx.state(),
            down: Arc::new(Limit::new(cx.topology(), max_down)),
            behind: Arc::default(),
            since: cx.began().unwrap_or_else(Instant::now),
            base: cx.feed().best_height(),
        }
    }

    /// Does all of the plan until the workload should stop; what is to be over some time is so then at the latest.
    pub(super) async fn run(self, FaultPlan(plan): FaultPlan) -> Result<Counters, Failure> {
        let mut acting = JoinSet::new();
        for planned in plan {
            acting.spawn(self.clone().act(planned));
        }
        let mut counters = Counters::default();
        while let Some(done) = acting.join_next().await {
            let done = done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            if let Some(fault) = done? {
                let count = counters.0.entry(counted(&fault).to_owned()).or_default();
                *count += 1;
            }
        }
        Ok(counters)
    }

    /// Awaits the moment, does what is planned, and undoes it where that is planned.
    async fn act(self, planned: PlannedFault) -> Result<Option<Fault>, Failure> {
        let stopping = self.cx.stopping();
        tokio::pin!(stopping);
        let (nodes, waits) = self.disturbed(&planned.fault);
        let _down = tokio::select! {
            biased;
            () = &mut stopping => return Ok(None),
            down = self.turn(&planned, &nodes, waits) => down,
        };
        self.apply(&planned.fault).await?;
        let places: Vec<_> = nodes.iter().map(|node| self.disturbed_now(&planned, node)).collect();
        let height = self.cx.feed().best_height();
        match (&planned.fault, planned.back) {
            (Fault::Restart(_), _) => {}
            (fault, Some(back)) => {
                tokio::select! {
                    () = self.back(back, height) => {}
                    () = &mut stopping => {}
                }
                self.undo(fault).await?;
            }
            // It lasts, and the nodes count as down, for as long as the run goes on.
            (_, None) => {
                stopping.await;
                return Ok(Some(planned.fault));
            }
        }
        for &place in &places {
            self.cx.record("back", &serde_json::json!({ "place": place }));
            self.log.back(place);
        }
        // Whoever has not recovered is as good as down.
        tokio::select! {
            () = self.log.recovered(&places) => {}
            () = self.cx.stopping() => {}
        }
        Ok(Some(planned.fault))
    }

    /// Awaits the moment of a fault, and until its nodes may be down. A restart that had to wait puts off those after
    /// it, so that they stay as far apart as planned.
    async fn turn(&self, planned: &PlannedFault, nodes: &[String], waits: bool) -> IsDown {
        self.moment(planned.when).await;
        let (Fault::Restart(_), When::After(time)) = (&planned.fault, planned.when) else {
            return self.down.take(nodes, waits).await;
        };
        let mut behind = self.behind.lock().await;
        pause_until(self.since + time + *behind).await;
        let down = self.down.take(nodes, waits).await;
        *behind = self.since.elapsed().saturating_sub(time);
        down
    }

    /// Notes that a node is disturbed from now on; returns its place in the log.
    fn disturbed_now(&self, planned: &PlannedFault, node: &str) -> usize {
        self.cx.record("disturbance", &serde_json::json!({ "planned": planned, "node": node }));
        self.log.done(planned.clone(), node)
    }

    /// The nodes that have to recover from a fault, and whether it waits until they may all be down.
    fn disturbed(&self, fault: &Fault) -> (Vec<String>, bool) {
        match fault {
            // What a script cuts it cuts; what comes at random waits for it.
            Fault::Network(fault) if fault.cuts() => {
                let sides = Sides::new(self.cx.topology(), std::slice::from_ref(fault));
                (sides.apart().into_iter().collect(), false)
            }
            Fault::Network(_) => (Vec::new(), false),
            node => (node.nodes().into_iter().map(str::to_owned).collect(), true),
        }
    }

    async fn apply(&self, fault: &Fault) -> Result<(), Failure> {
        match fault {
            Fault::Kill(node) => self.tell(node, NodeAction::Kill).await,
            Fault::Stop(node) => self.tell(node, NodeAction::Stop).await,
            Fault::Pause(node) => self.tell(node, NodeAction::Pause).await,
            Fault::Restart(node) => self.tell(node, NodeAction::Restart).await,
            Fault::Network(fault) => first(self.cx.faults()?.apply(fault.clone()).await),
        }
    }

    async fn undo(&self, fault: &Fault) -> Result<(), Failure> {
        match fault {
            Fault::Pause(node) => self.tell(node, NodeAction::Resume).await,
            Fault::Kill(node) | Fault::Stop(node) => self.tell(node, NodeAction::Start).await,
            Fault::Restart(_) => Ok(()),
            Fault::Network(fault) => first(self.cx.faults()?.undo(fault).await),
        }
    }

    async fn moment(&self, when: When) {
        match when {
            When::After(time) => pause_until(self.since + time).await,
            When::Slot(count) => {
                pause_until(self.since + slots(self.cx.topology().consensus().slot, count)).await;
            }
            When::Height(blocks) => self.grown(self.base + blocks).await,
        }
    }

    async fn back(&self, back: Back, height: u64) {
        match back {
            Back::After(time) => pause_until(Instant::now() + time).await,
            Back::Blocks(blocks) => self.grown(height + blocks).await,
        }
    }

    /// Completes when the best chain is so high.
    async fn grown(&self, height: u64) {
        let mut changes = self.cx.feed().changes();
        while self.cx.feed().best_height() < height && changes.changed().await.is_ok() {}
    }

    async fn tell(&self, node: &str, action: NodeAction) -> Result<(), Failure> {
        let height = self.cx.feed().best_height();
        self.cx.record("fault", &serde_json::json!({ "node": node, "action": action, "height": height }));
        self.cx.control()?.act(node, action).await.map_err(|error: ClusterError| {
            Failure::new(FailureClass::Infrastructure, "chaos")
                .expected(format!("{node} to {action}"))
                .seen(error.to_string())
                .look(self.cx.log_place(node))
        })
    }
}

/// What a counter of a fault is called.
fn counted(fault: &Fault) -> &'static str {
    match fault {
        Fault::Kill(_) => "kills",
        Fault::Stop(_) => "stops",
        Fault::Pause(_) => "pauses",
        Fault::Restart(_) => "restarts",
        Fault::Network(NetworkFault::Isolate(_)) => "isolations",
        Fault::Network(NetworkFault::Partition(_)) => "partitions",
        Fault::Network(NetworkFault::Latency { .. }) => "latencies",
        Fault::Network(NetworkFault::Loss { .. }) => "losses",
        Fault::Network(NetworkFault::Rate { .. }) => "rates",
    }
}

/// The failure of a call that has one at most.
fn first(result: Result<(), RunFailed>) -> Result<(), Failure> {
    result.map_err(|failed| failed.failures.into_iter().next().expect("a failed call says why"))
}

/// How much may be down at once.
struct Limit {
    stakes: BTreeMap<String, (Role, u64)>,
    most: Option<usize>,
    down: Mutex<Vec<String>>,
    freed: Notify,
}

impl Limit {
    fn new(topology: &Topology, most: Option<usize>) -> Self {
        let stakes = topology.nodes().iter().map(|node| (node.name.clone(), (node.role, node.stake)));
        Self { stakes: stakes.collect(), most, down: Mutex::default(), freed: Notify::new() }
    }

    /// Lets nodes go down, at once or as soon as they all may.
    async fn take(self: &Arc<Self>, nodes: &[String], waits: bool) -> IsDown {
        loop {
            let freed = self.freed.notified();
            if self.try_take(nodes, waits) {
                return IsDown { limit: Arc::clone(self), nodes: nodes.to_vec() };
            }
            freed.await;
        }
    }

    fn try_take(&self, nodes: &[String], asks: bool) -> bool {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let before = down.len();
        let already = nodes.iter().any(|node| down.contains(node));
        down.extend_from_slice(nodes);
        let allowed = !asks || (!already && self.allows(&down));
        if !allowed {
            down.truncate(before);
        }
        allowed
    }

    fn allows(&self, down: &[String]) -> bool {
        let is_down = |name: &String| down.contains(name);
        let stake = |down: bool| {
            let of = self.stakes.iter().filter(|(name, _)| !down || is_down(name));
            of.map(|(_, (_, stake))| stake).sum::<u64>()
        };
        let within = match self.most {
            Some(most) => down.len() <= most,
            None => stake(true) * 2 < stake(false),
        };
        let validators = || self.stakes.iter().filter(|(_, (role, _))| *role == Role::Validator);
        within && validators().any(|(name, _)| !is_down(name))
    }
}

/// Nodes that count as down until this is dropped.
struct IsDown {
    limit: Arc<Limit>,
    nodes: Vec<String>,
}

impl Drop for IsDown {
    fn drop(&mut self) {
        let mut down = self.limit.down.lock().unwrap_or_else(PoisonError::into_inner);
        for node in &self.nodes {
            // It may be down for another reason, too.
            let place = down.iter().position(|other| other == node);
            place.map(|place| down.remove(place));
        }
        drop(down);
        self.limit.freed.notify_waiters();
    }
}
