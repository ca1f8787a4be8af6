//! Applies faults to a running cluster and heals them, each with the proof that it had its effect.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tokio::sync::{Mutex, watch};

use super::observed::Observed;
use super::{Link, NetworkFault, Sides};
use crate::context::NodeClients;
use crate::deployer::{ClusterError, DynCluster, NodeStatus};
use crate::env;
use crate::failure::{Failure, FailureClass, RunFailed};
use crate::report::Journal;
use crate::topology::{Layout, Topology};
use crate::wait;

/// What a fault, or its healing, may take until it is seen.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// Disturbs the links between nodes. Cheap to clone; all clones of a run disturb the same network.
///
/// Each call returns when its effect was observed: for a cut, when no connection passes it and no node counts a peer
/// beyond it; for the others, when the relay saw what passed since. What was not observed within a minute fails the
/// scenario as infrastructure, since it would prove nothing.
///
/// ```no_run
/// # use std::time::Duration;
/// # use logos_scenario_runtime::{Result, Run};
/// async fn two_are_cut_off(run: &mut Run) -> Result {
///     let faults = run.faults()?;
///     faults.partition(["validator-0", "validator-1"], ["validator-2", "validator-3", "validator-4"]).await?;
///     faults.heal().await?;
///     faults.latency("validator-0", "validator-1", Duration::from_millis(200)).await?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Faults {
    cluster: Arc<dyn DynCluster>,
    clients: NodeClients,
    topology: Topology,
    state: Arc<Disturbing>,
    journal: Arc<Journal>,
    failed: Option<Failed>,
    /// Whether the run is over, so that all was done and seen already.
    past: bool,
}

debug_as!(Faults, |this| state: this.state);

/// Hears of every failure, whatever becomes of it.
type Failed = Arc<dyn Fn(&Failure) + Send + Sync>;

/// The faults in force on one cluster: one change at a time, and whoever judges is told of it.
#[derive(Debug, Default)]
pub(crate) struct Disturbing {
    turn: Mutex<()>,
    active: watch::Sender<Disturbed>,
}

impl Disturbing {
    /// What is disturbed, and what will be.
    pub(crate) fn changes(&self) -> watch::Receiver<Disturbed> {
        self.active.subscribe()
    }

    /// What is disturbed changes as it did in a run that is over.
    pub(crate) fn replay(&self, change: impl FnOnce(&mut Disturbed)) {
        self.active.send_modify(change);
    }
}

/// The faults in force. One counts from before it is applied until it is seen to be healed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disturbed(pub(crate) Vec<NetworkFault>);

impl Disturbed {
    /// The sides into which the nodes are parted.
    pub(crate) fn sides(&self, topology: &Topology) -> Sides {
        Sides::new(topology, &self.0)
    }

    /// By how much later a message may be with all nodes than it is by itself; `None` where nothing is sure, since
    /// bytes are lost or wait for others.
    pub(crate) fn delay(&self, topology: &Topology) -> Option<Duration> {
        let is_chosen = topology.nodes().iter().any(|node| node.dials.is_some());
        let hops = match topology.layout() {
            _ if is_chosen => topology.nodes().len(),
            Layout::Full => 1,
            Layout::Star => 2,
            Layout::Chain => topology.nodes().len(),
        };
        let mut most = Duration::ZERO;
        for fault in &self.0 {
            match fault {
                NetworkFault::Latency { delay, jitter, .. } => most += *delay + *jitter,
                NetworkFault::Loss { .. } | NetworkFault::Rate { .. } => return None,
                NetworkFault::Isolate(_) | NetworkFault::Partition(_) => {}
            }
        }
        Some(most * u32::try_from(hops).unwrap_or(u32::MAX))
    }
}

impl Faults {
    pub(crate) fn new(
        cluster: Arc<dyn DynCluster>,
        clients: NodeClients,
        topology: Topology,
        state: Arc<Disturbing>,
        journal: Arc<Journal>,
    ) -> Self {
        Self { cluster, clients, topology, state, journal, failed: None, past: false }
    }

    /// The same in a run that is over, and disturbs nothing.
    pub(crate) fn past(mut self, past: bool) -> Self {
        self.past = past;
        self
    }

    /// The same, whose failures are told besides.
    pub(crate) fn telling(mut self, failed: impl Fn(&Failure) + Send + Sync + 'static) -> Self {
        self.failed = Some(Arc::new(failed));
        self
    }

    /// Cuts all links of a node. Its HTTP still answers.
    ///
    /// # Errors
    ///
    /// The topology has no such node or link, the backend cannot, or the effect was not seen; as for every fault.
    pub async fn isolate(&self, node: &str) -> Result<(), RunFailed> {
        self.apply(NetworkFault::Isolate(node.to_owned())).await
    }

    /// Cuts all links between two sides; every node is on one of them.
    ///
    /// # Errors
    ///
    /// See [`isolate`](Self::isolate).
    pub async fn partition<S: Into<String>>(
        &self,
        one: impl IntoIterator<Item = S>,
        other: impl IntoIterator<Item = S>,
    ) -> Result<(), RunFailed> {
        let fault = NetworkFault::partition(one, other);
        self.apply(fault).await
    }

    /// Lets what `from` sends to `to` arrive later by `delay`.
    ///
    /// # Errors
    ///
    /// See [`isolate`](Self::isolate).
    pub async fn latency(&self, from: &str, to: &str, delay: Duration) -> Result<(), RunFailed> {
        let link = Link::new(from, to);
        self.apply(NetworkFault::Latency { link, delay, jitter: Duration::ZERO }).await
    }

    /// Loses so many percent, 1 to 100, of what `from` sends to `to`. Returns when something was lost.
    ///
    /// # Errors
    ///
    /// See [`isolate`](Self::isolate).
    pub async fn loss(&self, from: &str, to: &str, percent: u8) -> Result<(), RunFailed> {
        self.apply(NetworkFault::Loss { link: Link::new(from, to), percent }).await
    }

    /// Lets what `from` sends to `to` pass at so many bytes per second.
    ///
    /// # Errors
    ///
    /// See [`isolate`](Self::isolate).
    pub async fn rate(&self, from: &str, to: &str, bytes_per_second: u64) -> Result<(), RunFailed> {
        self.apply(NetworkFault::Rate { link: Link::new(from, to), bytes_per_second }).await
    }

    /// Applies any fault, besides those in force.
    ///
    /// # Errors
    ///
    /// See [`isolate`](Self::isolate).
    pub async fn apply(&self, fault: NetworkFault) -> Result<(), RunFailed> {
        if self.past {
            return Ok(());
        }
        let applied = self.applied(fault).await;
        self.told(applied)
    }

    /// Ends one fault; others stay in force.
    ///
    /// # Errors
    ///
    /// It is not in force, or its end was not seen.
    pub async fn undo(&self, fault: &NetworkFault) -> Result<(), RunFailed> {
        if self.past {
            return Ok(());
        }
        let _turn = self.state.turn.lock().await;
        let mut rest = self.active();
        let undone = match rest.iter().position(|active| active == fault) {
            Some(place) => self.end(&[rest.remove(place)], rest).await,
            None => Err(not_in_force(fault, &rest)),
        };
        self.told(undone)
    }

    /// Ends all faults in force.
    ///
    /// # Errors
    ///
    /// Their end was not seen.
    pub async fn heal(&self) -> Result<(), RunFailed> {
        if self.past {
            return Ok(());
        }
        let _turn = self.state.turn.lock().await;
        let healed = self.end(&self.active(), Vec::new()).await;
        self.told(healed)
    }

    fn told(&self, result: Result<(), Failure>) -> Result<(), RunFailed> {
        if let (Err(failure), Some(failed)) = (&result, &self.failed) {
            failed(failure);
        }
        Ok(result?)
    }

    async fn applied(&self, fault: NetworkFault) -> Result<(), Failure> {
        let problems = fault.problems(&self.topology);
        if !problems.is_empty() {
            return Err(Failure::new(FailureClass::Test, "faults")
                .expected("a fault that this topology can have")
                .seen_all(problems.iter().map(ToString::to_string)));
        }
        let _turn = self.state.turn.lock().await;
        self.state.active.send_modify(|active| active.0.push(fault.clone()));
        self.journal.event("network fault", &json!({ "applied": fault }));
        self.disturb(&self.active()).await?;
        self.seen(&fault, "to take effect", Observed::lacks_effect).await
    }

    async fn end(&self, ended: &[NetworkFault], rest: Vec<NetworkFault>) -> Result<(), Failure> {
        self.disturb(&rest).await?;
        self.journal.event("network fault", &json!({ "healed": ended }));
        for fault in ended {
            self.seen(fault, "to be healed", Observed::lacks_healing).await?;
        }
        self.state.active.send_replace(Disturbed(rest));
        Ok(())
    }

    fn active(&self) -> Vec<NetworkFault> {
        self.state.active.borrow().0.clone()
    }

    async fn disturb(&self, faults: &[NetworkFault]) -> Result<(), Failure> {
        self.cluster.disturb(faults.to_vec()).await.map_err(|error| infrastructure(&error))
    }

    /// Waits until what the fault should do, or should do no more, is seen.
    async fn seen(
        &self,
        fault: &NetworkFault,
        what: &str,
        lacks: impl Fn(&Observed, &NetworkFault) -> Vec<String>,
    ) -> Result<(), Failure> {
        let within = env::settings().scaled(SEEN_WITHIN);
        let seen = wait::until(what, within, || async {
            match self.observe().await {
                Ok(observed) => match lacks(&observed, fault) {
                    lacking if lacking.is_empty() => Ok(()),
                    lacking => Err(lacking),
                },
                Err(error) => Err(vec![error.to_string()]),
            }
        });
        seen.await.map_err(|timed_out| {
            Failure::new(FailureClass::Infrastructure, "faults")
                .expected(format!("`{fault}` {what} within {}", humantime::format_duration(within)))
                .seen_all(timed_out.last.unwrap_or_default())
                .because("a fault whose effect is not observed proves nothing about the chain")
                .try_next(
                    "see whether the named nodes run, and read their logs for connections that come and go",
                )
        })
    }

    async fn observe(&self) -> Result<Observed, ClusterError> {
        let links = self.cluster.links().await?;
        let states = self.cluster.states(0).await?.nodes;
        let running = states.into_iter().filter(|state| state.status == NodeStatus::Running);
        let running = running.map(|state| state.name).collect();
        let peers = self.clients.all().iter().map(async |client| {
            let info = client.network_info().await.ok()?;
            Some((client.name().to_owned(), info.n_peers))
        });
        let peers = join_all(peers).await.into_iter().flatten().collect();
        Ok(Observed { links, running, peers })
    }
}

fn infrastructure(error: &ClusterError) -> Failure {
    Failure::new(FailureClass::Infrastructure, "faults")
        .expected("the network between the nodes to be disturbed as asked")
        .seen(error.to_string())
}

fn not_in_force(fault: &NetworkFault, active: &[NetworkFault]) -> Failure {
    let active: Vec<_> = active.iter().map(ToString::to_string).collect();
    let active = if active.is_empty() { "none".to_owned() } else { active.join("; ") };
    Failure::new(FailureClass::Test, "faults")
        .expected(format!("`{fault}` to be in force"))
        .seen(format!("in force: {active}"))
}
