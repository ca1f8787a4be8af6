//! A client's side of a lease: how it is asked for, and the cluster that it gives the right to.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::ledger::{Released, Wish};
use super::wire::{Answer, Call, Granted, Link, Order, Reply, Request};
use crate::case::Sharing;
use crate::deployer::{
    BoxFuture, ClusterDescription, ClusterError, DynCluster, Log, LogPart, NodeAction, States, Usage,
};
use crate::failure::Failure;
use crate::faults::{LinkState, NetworkFault};
use crate::node::{HttpTransport, Transport};
use crate::plan::{ClusterKey, PlannedNode};

/// The right to use a cluster. Dropping it gives the cluster back unspoken-for, as the holder's death would.
pub(crate) struct Lease {
    pub(crate) granted: Granted,
    pub(crate) cluster: Arc<dyn DynCluster>,
    /// The key of the cluster, with what it runs.
    pub(crate) key: ClusterKey,
    pub(crate) sharing: Sharing,
    calls: Arc<Calls>,
    _carriers: JoinSet<()>,
}

/// Why there is no lease.
pub(crate) enum Denied {
    /// The host says why.
    Refused(Failure),
    /// The host is gone, that of a process if it was another's.
    Gone(Option<u32>),
}

impl Lease {
    /// Asks for a lease and waits for it; `order` is by what the cluster is made if need be, and `waits` hears what
    /// is waited for.
    pub(crate) async fn ask(
        mut link: Link,
        wish: Wish,
        key: ClusterKey,
        order: impl Fn() -> Order,
        waits: impl Fn(String),
    ) -> Result<Self, Denied> {
        let (sharing, keeper) = (wish.sharing, link.keeper);
        let gone = || Denied::Gone(keeper);
        link.requests.send(Request::Attach(wish)).map_err(|_| gone())?;
        let granted = loop {
            match link.replies.recv().await.ok_or_else(gone)? {
                Reply::Waiting(what) => waits(what),
                Reply::Provide => {
                    let order = Request::Provide(Box::new(order()));
                    link.requests.send(order).map_err(|_| gone())?;
                }
                Reply::Granted(granted) => break *granted,
                Reply::Refused(failure) => return Err(Denied::Refused(failure)),
                Reply::Alive | Reply::Answer { .. } | Reply::Clusters(_) => {}
            }
        };
        let Link { requests, replies, mut carriers, keeper } = link;
        let calls = Arc::new(Calls {
            keeper,
            requests,
            next: AtomicU64::new(0),
            drawn: AtomicUsize::new(0),
            ran_out: AtomicBool::new(false),
            waiting: Mutex::new(Some(HashMap::new())),
        });
        carriers.spawn(answers(Arc::clone(&calls), replies));
        let cluster = granted.cluster.clone().unwrap_or_else(|| {
            let description = granted.description.clone();
            Arc::new(RemoteCluster { description, calls: Arc::clone(&calls) })
        });
        Ok(Self { granted, cluster, key, sharing, calls, _carriers: carriers })
    }

    /// What draws accounts from the cluster.
    pub(crate) fn calls(&self) -> Arc<Calls> {
        Arc::clone(&self.calls)
    }

    /// Whether it lacked accounts only because others drew them.
    pub(crate) fn ran_out(&self) -> bool {
        self.calls.ran_out.load(Ordering::Relaxed)
    }

    /// Says something else to the host.
    pub(crate) fn say(&self, request: Request) {
        // Whether the host is there shows when it should answer.
        let _ = self.calls.requests.send(request);
    }

    /// Lets the cluster stay after the lease, to be looked at; the process that then keeps it.
    pub(crate) async fn keep(&self) -> Result<u32, ClusterError> {
        match self.calls.ask(Call::Keep).await? {
            Answer::Kept { keeper } => Ok(keeper),
            _ => Err(self.calls.gone()),
        }
    }

    /// Gives the cluster back, used well or not; what became of it.
    pub(crate) async fn release(self, passed: bool) -> Result<Released, ClusterError> {
        match self.calls.ask(Call::Release { passed }).await? {
            Answer::Released(released) => Ok(released),
            _ => Err(self.calls.gone()),
        }
    }
}

/// The calls of one lease.
pub(crate) struct Calls {
    keeper: Option<u32>,
    requests: mpsc::UnboundedSender<Request>,
    next: AtomicU64,
    /// Accounts that were drawn.
    drawn: AtomicUsize,
    /// A draw failed that would not have, had nobody else drawn from the cluster.
    ran_out: AtomicBool,
    /// Nothing when no answer will come any more.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Calls")
    }
}

/// Passes answers on to who asked.
async fn answers(calls: Arc<Calls>, mut replies: mpsc::UnboundedReceiver<Reply>) {
    while let Some(reply) = replies.recv().await {
        if let Reply::Answer { id, answer } = reply
            && let Some(asked) = calls.with(|waiting| waiting.as_mut()?.remove(&id))
        {
            // Whoever asked may have gone on.
            let _ = asked.send(answer);
        }
    }
    calls.with(Option::take);
}

impl Calls {
    fn with<T>(&self, act: impl FnOnce(&mut Option<HashMap<u64, oneshot::Sender<Answer>>>) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn gone(&self) -> ClusterError {
        let keeper = self.keeper.map(|pid| format!(" ({pid})")).unwrap_or_default();
        let what = format!(
            "the keeper{keeper} that owned it ended or says nothing any more, and it is lost with that"
        );
        ClusterError { subject: "cluster".to_owned(), what }
    }

    async fn ask(&self, call: Call) -> Result<Answer, ClusterError> {
        let gone = || self.gone();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (asked, answer) = oneshot::channel();
        self.with(|waiting| waiting.as_mut().map(|waiting| waiting.insert(id, asked))).ok_or_else(gone)?;
        self.requests.send(Request::Call { id, call }).map_err(|_| gone())?;
        match answer.await.map_err(|_| gone())? {
            Answer::Failed(error) => Err(error),
            answer => Ok(answer),
        }
    }

    /// Accounts that no other lease of the cluster ever had, or how many of all there are in genesis are left.
    pub(crate) async fn draw(
        &self,
        count: usize,
        genesis: usize,
    ) -> Result<Result<Range<usize>, usize>, ClusterError> {
        let Answer::Drawn(drawn) = self.ask(Call::Draw { count }).await? else { return Err(self.gone()) };
        if drawn.is_ok() {
            self.drawn.fetch_add(count, Ordering::Relaxed);
        } else if self.drawn.load(Ordering::Relaxed) + count <= genesis {
            self.ran_out.store(true, Ordering::Relaxed);
        }
        Ok(drawn)
    }
}

/// A cluster that another process owns. Its nodes are reached directly.
struct RemoteCluster {
    description: ClusterDescription,
    calls: Arc<Calls>,
}

impl DynCluster for RemoteCluster {
    fn description(&self) -> &ClusterDescription {
        &self.description
    }

    fn states(&self, newer_than: u64) -> BoxFuture<'_, Result<States, ClusterError>> {
        Box::pin(async move {
            match self.calls.ask(Call::States { newer_than }).await? {
                Answer::States(states) => states,
                _ => Err(self.calls.gone()),
            }
        })
    }

    fn control<'a>(&'a self, node: &'a str, action: NodeAction) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move {
            match self.calls.ask(Call::Control { node: node.to_owned(), action }).await? {
                Answer::Control(done) => done,
                _ => Err(self.calls.gone()),
            }
        })
    }

    fn replan(&self, node: PlannedNode) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(async move {
            match self.calls.ask(Call::Replan { node: Box::new(node) }).await? {
                Answer::Replanned(done) => done,
                _ => Err(self.calls.gone()),
            }
        })
    }

    fn disturb(&self, faults: Vec<NetworkFault>) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(async move {
            match self.calls.ask(Call::Disturb { faults }).await? {
                Answer::Disturbed(done) => done,
                _ => Err(self.calls.gone()),
            }
        })
    }

    fn links(&self) -> BoxFuture<'_, Result<Vec<LinkState>, ClusterError>> {
        Box::pin(async move {
            match self.calls.ask(Call::Links).await? {
                Answer::Links(links) => links,
                _ => Err(self.calls.gone()),
            }
        })
    }

    fn logs<'a>(&'a self, node: &'a str, part: LogPart) -> BoxFuture<'a, Result<Log, ClusterError>> {
        Box::pin(async move {
            match self.calls.ask(Call::Logs { node: node.to_owned(), part }).await? {
                Answer::Logs(log) => log,
                _ => Err(self.calls.gone()),
            }
        })
    }

    fn usage<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<Option<Usage>, ClusterError>> {
        Box::pin(async move {
            match self.calls.ask(Call::Usage { node: node.to_owned() }).await? {
                Answer::Usage(usage) => usage,
                _ => Err(self.calls.gone()),
            }
        })
    }

    /// The cluster is its owner's to end.
    fn teardown(&self) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(async { Ok(()) })
    }

    fn connect(&self, address: &str) -> Arc<dyn Transport> {
        Arc::new(HttpTransport::new(format!("http://{address}")))
    }
}
