//! The pods of a cluster: what is done to them, and what they do.
//!
//! A watch tells of every pod, whoever makes or ends it; an action is done when the watch told its effect.
//!
//! A node that ended by itself stays ended, as everywhere: the kubelet would start it again for ever, so its set is
//! scaled to no pod as soon as its end is seen. What ran in the moment between is not counted as a start.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::{Api, Client};
use logos_scenario_runtime::deployer::{
    ClusterError, DeployError, NodeAction, NodeState, NodeStatus, States,
};
use logos_scenario_runtime::plan::Plan;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use super::engine::{self, End, is_missing, said};
use super::labels::Names;
use super::render;
use super::trouble::Trouble;
use crate::relay::ways::RELAY;
use crate::states::{NodeStates, is_alive};

mod relay;
mod watching;

/// How long Kubernetes may take to do what it was told.
const TOLD: Duration = Duration::from_secs(60);
/// How long a pod may take to start, from its image on.
const START: Duration = Duration::from_secs(300);
/// How long the last lines of a log may take to come.
const LAST_LINES: Duration = Duration::from_secs(10);

/// All nodes of a cluster.
pub(super) struct Nodes {
    client: Client,
    cluster: String,
    nodes: Vec<Node>,
    /// What carries what they send each other, which is watched as they are; none where they do so by themselves.
    relay: Option<Node>,
    states: NodeStates,
    /// Nothing may be started any more.
    over: AtomicBool,
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

struct Node {
    name: String,
    log: PathBuf,
    /// One action at a time.
    turn: Mutex<()>,
    /// Set before we end the node, so that its end is known to be our doing.
    ending: AtomicBool,
    /// What the watch told last.
    seen: watch::Sender<Seen>,
    /// What the watch tells, in its order.
    changes: UnboundedSender<Option<Pod>>,
    /// Its files and its set as they are next, where they are others.
    next: StdMutex<Option<(Value, Value)>>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    /// Whether there is a pod.
    pod: bool,
    trouble: Option<Trouble>,
}

impl Nodes {
    /// The planned nodes of a cluster, of which none was made yet, and what follows them; their logs will be files in
    /// a folder.
    pub(super) fn follow(
        client: &Client,
        names: &Names,
        plan: &Plan,
        logs: &Path,
    ) -> (Arc<Self>, JoinSet<()>) {
        let planned = &plan.nodes;
        let (senders, receivers): (Vec<_>, Vec<_>) = planned.iter().map(|_| unbounded_channel()).unzip();
        let node = |name: &str, late, changes| Node {
            name: name.to_owned(),
            log: logs.join(format!("{name}.log")),
            turn: Mutex::default(),
            ending: AtomicBool::new(late),
            seen: watch::Sender::default(),
            changes,
            next: StdMutex::default(),
        };
        let (changes, of_relay) = unbounded_channel();
        let relay = plan.relayed.then(|| node(RELAY, false, changes));
        let senders = planned.iter().zip(senders);
        let nodes = Arc::new(Self {
            client: client.clone(),
            cluster: names.cluster.clone(),
            nodes: senders.map(|(planned, changes)| node(&planned.name, planned.late, changes)).collect(),
            relay,
            states: NodeStates::new(planned.iter().map(|node| &node.name)),
            over: AtomicBool::new(false),
        });
        for (index, _) in planned.iter().enumerate().filter(|(_, node)| !node.late) {
            nodes.states.change(index, |state| state.starts_by_us = 1);
        }
        let mut tasks = JoinSet::new();
        for (index, changes) in receivers.into_iter().enumerate() {
            tasks.spawn(Arc::clone(&nodes).follow_node(index, changes));
        }
        tasks.spawn(Arc::clone(&nodes).follow_relay(of_relay));
        tasks.spawn(Arc::clone(&nodes).watch_pods());
        tasks.spawn(Arc::clone(&nodes).watch_events());
        (nodes, tasks)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.cluster)
    }

    /// Returns when every node that is not late was started, or one cannot be.
    pub(super) async fn started(&self) -> Result<(), DeployError> {
        let early =
            self.nodes.iter().enumerate().filter(|(index, _)| self.states.of(*index).starts_by_us > 0);
        let starts = early.map(async |(index, _)| self.is_started(index).await);
        futures::future::try_join_all(starts).await.map(drop)
    }

    /// Returns when a node runs, or cannot be started.
    async fn is_started(&self, index: usize) -> Result<(), DeployError> {
        let node = &self.nodes[index];
        let started = async {
            tokio::select! {
                () = self.states.reaches(index, |state| state.starts >= state.starts_by_us) => Ok(()),
                trouble = lasting_trouble(node) => Err(trouble.into_error(&node.name)),
            }
        };
        let failed = match tokio::time::timeout(START, started).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failed)) => failed,
            Err(_) => DeployError::new(
                node.name.clone(),
                format!("its pod did not start within {} s", START.as_secs()),
                format!("`kubectl describe pod {} -n {}` says more", render::pod(&node.name), self.cluster),
            ),
        };
        Err(self.explained(node, failed).await)
    }

    /// An error of a node's, with all that is told of the node.
    async fn explained(&self, node: &Node, failed: DeployError) -> DeployError {
        let what = format!("{}{}", failed.what, self.events(&node.name).await);
        DeployError { what, log: self.last_log_lines(node), ..failed }
    }

    /// What Kubernetes told of a node's pod, and what it warned of besides, for a message.
    async fn events(&self, node: &str) -> String {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.cluster);
        let Ok(events) = api.list(&ListParams::default()).await else { return String::new() };
        let pod = render::pod(node);
        let about = events.into_iter().filter(|event| {
            let warns = event.type_.as_deref() == Some("Warning");
            event.involved_object.name.as_ref().is_some_and(|name| *name == pod || (warns && name == node))
        });
        let told = about.filter_map(|event| {
            Some(format!("\n  event {}: {}", event.reason?, event.message.unwrap_or_default().trim()))
        });
        let mut told: Vec<_> = told.collect();
        told.dedup();
        told.concat()
    }

    fn last_log_lines(&self, node: &Node) -> Option<String> {
        let log = std::fs::read_to_string(&node.log).ok().filter(|log| !log.is_empty())?;
        let lines: Vec<_> = log.lines().collect();
        Some(lines[lines.len().saturating_sub(20)..].join("\n"))
    }

    pub(super) async fn states(&self, newer_than: u64) -> States {
        self.states.newer_than(newer_than).await
    }

    /// The file of a node's log.
    pub(super) fn log(&self, name: &str) -> Result<&Path, ClusterError> {
        Ok(&self.nodes[self.index(name)?].log)
    }

    fn index(&self, name: &str) -> Result<usize, ClusterError> {
        let names = || self.nodes.iter().map(|node| node.name.as_str());
        let index = self.nodes.iter().position(|node| node.name == name);
        index.ok_or_else(|| ClusterError::no_such_node(name, names()))
    }

    pub(super) async fn control(&self, name: &str, action: NodeAction) -> Result<(), ClusterError> {
        let index = self.index(name)?;
        let _turn = self.nodes[index].turn.lock().await;
        action.allowed(name, &self.states.of(index).status)?;
        match action {
            NodeAction::Start | NodeAction::Restart if self.over.load(Ordering::Relaxed) => {
                Err(self.error(index, "is not started: its cluster is gone".to_owned()))
            }
            NodeAction::Stop | NodeAction::Kill => self.end(index, action).await,
            NodeAction::Start => self.start(index).await,
            NodeAction::Restart => {
                if is_alive(&self.states.of(index)) {
                    self.end(index, NodeAction::Stop).await?;
                }
                self.start(index).await
            }
            NodeAction::Pause | NodeAction::Resume | NodeAction::Isolate | NodeAction::Rejoin => {
                let what = format!("cannot be told to {action}: Kubernetes has nothing for that");
                Err(self.error(index, what))
            }
        }
    }

    /// Lets a node have these files and this set from its next start on.
    pub(super) fn replan(&self, name: &str, objects: (Value, Value)) -> Result<(), ClusterError> {
        let node = &self.nodes[self.index(name)?];
        self.states.replanned(name);
        *node.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(objects);
        Ok(())
    }

    /// Lets the pods to come of a node be as it was planned anew.
    async fn make_anew(&self, index: usize) -> Result<(), ClusterError> {
        let Node { name, next, .. } = &self.nodes[index];
        let planned = next.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(objects) = planned else { return Ok(()) };
        let made = engine::replan(&self.client, &self.cluster, name, &objects).await;
        self.done(index, "be planned anew", made)?;
        // Who was planned anew meanwhile is made anew at the start after this one.
        next.lock().unwrap_or_else(PoisonError::into_inner).take_if(|planned| *planned == objects);
        Ok(())
    }

    /// From now on nothing is started, and who still runs is ended by us.
    pub(super) fn ends(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.nodes.iter().for_each(|node| node.ending.store(true, Ordering::Relaxed));
    }

    /// Waits until every node is known to be ended, of which nothing is left.
    pub(super) async fn ended(&self) {
        let ends = (0..self.nodes.len()).map(|index| self.states.reaches(index, |state| !is_alive(state)));
        let _ = tokio::time::timeout(LAST_LINES, join_all(ends)).await;
        for index in 0..self.nodes.len() {
            if is_alive(&self.states.of(index)) {
                self.states.change(index, |state| state.status = NodeStatus::Stopped);
            }
        }
    }

    async fn end(&self, index: usize, how: NodeAction) -> Result<(), ClusterError> {
        let node = &self.nodes[index];
        node.ending.store(true, Ordering::Relaxed);
        self.done(index, "be ended", engine::scale(&self.client, &self.cluster, &node.name, 0).await)?;
        let how = if how == NodeAction::Kill { End::AtOnce } else { End::BySet };
        self.done(index, "be ended", engine::end(&self.pods(), &render::pod(&node.name), how).await)?;
        self.reaches(index, "end", |state| !is_alive(state)).await
    }

    async fn start(&self, index: usize) -> Result<(), ClusterError> {
        let node = &self.nodes[index];
        // Two pods must never have the same data.
        let mut seen = node.seen.subscribe();
        let gone = async { drop(seen.wait_for(|seen| !seen.pod).await) };
        if tokio::time::timeout(TOLD, gone).await.is_err() {
            let what = format!("cannot be started: its last pod is still there after {} s", TOLD.as_secs());
            return Err(self.error(index, what));
        }
        self.make_anew(index).await?;
        node.seen.send_modify(|seen| seen.trouble = None);
        node.ending.store(false, Ordering::Relaxed);
        self.states.change(index, |state| state.starts_by_us += 1);
        let scaled = engine::scale(&self.client, &self.cluster, &node.name, 1).await;
        let started = match self.done(index, "be started", scaled) {
            Ok(()) => self.is_started(index).await.map_err(|error| {
                self.error(index, format!("cannot be started: {}; {}", error.what, error.try_next))
            }),
            failed => failed,
        };
        if started.is_err() {
            node.ending.store(true, Ordering::Relaxed);
            self.states.change(index, |state| state.starts_by_us -= 1);
            // The first error is the one to tell.
            let _ = engine::scale(&self.client, &self.cluster, &node.name, 0).await;
        }
        started
    }

    fn done(&self, index: usize, what: &str, result: kube::Result<()>) -> Result<(), ClusterError> {
        result.map_err(|error| match is_missing(&error) {
            true => self.error(index, format!("cannot {what}: somebody removed its StatefulSet")),
            false => self.error(index, format!("cannot {what}: {}", said(&error))),
        })
    }

    /// Waits until the watch tells that the node's state is as it should be.
    async fn reaches(
        &self,
        index: usize,
        what: &str,
        holds: impl Fn(&NodeState) -> bool,
    ) -> Result<(), ClusterError> {
        self.states.told(index, ("Kubernetes", what), TOLD, holds).await
    }

    fn error(&self, index: usize, what: String) -> ClusterError {
        ClusterError { subject: self.nodes[index].name.clone(), what }
    }
}

/// Waits for trouble that does not pass.
async fn lasting_trouble(node: &Node) -> Trouble {
    let mut seen = node.seen.subscribe();
    loop {
        let trouble = match seen.wait_for(|seen| seen.trouble.is_some()).await {
            Ok(seen) => seen.trouble.clone(),
            Err(_) => None,
        };
        let Some(trouble) = trouble else { return std::future::pending().await };
        let passes = seen.wait_for(|seen| seen.trouble.as_ref() != Some(&trouble));
        if tokio::time::timeout(trouble.patience, passes).await.is_err() {
            return trouble;
        }
    }
}
