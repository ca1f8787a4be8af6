//! The containers of a cluster: what is done to them, and what they do.
//!
//! The engine's events tell every start and end, whoever caused it; an action is done when its event came.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::models::{EventMessage, NetworkDisconnectRequest};
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};
use futures::StreamExt;
use logos_scenario_runtime::deployer::{ClusterError, NodeAction, NodeState, NodeStatus, States};
use logos_scenario_runtime::plan::PlannedNode;
use logos_scenario_runtime::wait;
use tokio::sync::{Mutex, watch};

use super::engine::{is_missing, said};
use super::labels::{Project, now};
use super::model::{Attachment, Compose};
use super::render::PEER;
use super::request;

/// How long a node that was asked to end may take, in seconds; the same as in the template.
const GRACE: i32 = 5;
/// How long the engine may take to tell what it did.
const TOLD: Duration = Duration::from_secs(30);

/// All nodes of a cluster.
#[derive(Debug)]
pub(super) struct Nodes {
    docker: Docker,
    project: Project,
    nodes: Vec<Node>,
    states: watch::Sender<States>,
    /// Nothing may be started any more.
    over: AtomicBool,
}

#[derive(Debug)]
struct Node {
    name: String,
    container: String,
    peer: Attachment,
    /// One action at a time.
    turn: Mutex<()>,
    /// Set before we end the node, so that its end is known to be our doing.
    ending: AtomicBool,
    isolated: AtomicBool,
}

impl Nodes {
    /// The planned nodes of a file; none was started yet, and those that are not late will be once.
    pub(super) fn new(docker: Docker, project: Project, planned: &[PlannedNode], file: &Compose) -> Self {
        let node = |PlannedNode { name, .. }: &PlannedNode| Node {
            name: name.clone(),
            container: project.container(name),
            peer: file.services[name].networks[PEER].clone(),
            turn: Mutex::default(),
            ending: AtomicBool::new(false),
            isolated: AtomicBool::new(false),
        };
        let state = |node: &PlannedNode| NodeState {
            name: node.name.clone(),
            status: NodeStatus::Stopped,
            starts: 0,
            starts_by_us: u32::from(!node.late),
        };
        let states = States { version: 1, nodes: planned.iter().map(state).collect() };
        Self {
            nodes: planned.iter().map(node).collect(),
            states: watch::Sender::new(states),
            over: AtomicBool::new(false),
            docker,
            project,
        }
    }

    pub(super) async fn states(&self, newer_than: u64) -> States {
        let mut states = self.states.subscribe();
        let newer = states.wait_for(|states| states.version > newer_than).await;
        // The sender lives in `self`.
        newer.map(|states| states.clone()).unwrap_or_default()
    }

    pub(super) fn container(&self, name: &str) -> Result<&str, ClusterError> {
        Ok(&self.nodes[self.index(name)?].container)
    }

    fn index(&self, name: &str) -> Result<usize, ClusterError> {
        let names = || self.nodes.iter().map(|node| node.name.as_str());
        let index = self.nodes.iter().position(|node| node.name == name);
        index.ok_or_else(|| ClusterError::no_such_node(name, names()))
    }

    /// Follows what the engine tells of the cluster's containers, for ever.
    pub(super) async fn follow(self: Arc<Self>) {
        let kinds = ["start", "die", "pause", "unpause"];
        let label = self.project.filter();
        let filters =
            HashMap::from([("type", vec!["container"]), ("label", vec![&label]), ("event", kinds.into())]);
        let mut since = format!("{}", now().saturating_sub(1));
        let mut last = 0;
        loop {
            let options = EventsOptionsBuilder::default().since(&since).filters(&filters).build();
            let mut events = Box::pin(self.docker.events(Some(options)));
            while let Some(Ok(event)) = events.next().await {
                let time = event.time_nano.unwrap_or_default();
                // What came before the stream broke off is told again.
                if time > last {
                    last = time;
                    since = format!("{}.{:09}", time / 1_000_000_000, time % 1_000_000_000);
                    self.told(&event).await;
                }
            }
            let answers = || async { self.docker.ping().await.map(drop).map_err(|error| said(&error)) };
            if wait::until("the engine to answer again", Duration::from_secs(600), answers).await.is_err() {
                return;
            }
        }
    }

    async fn told(&self, event: &EventMessage) {
        let Some(attributes) = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref()) else {
            return;
        };
        let service = attributes.get("com.docker.compose.service");
        let Some(index) = service.and_then(|name| self.index(name).ok()) else { return };
        match event.action.as_deref() {
            Some("start") => self.set(index, |state| {
                state.starts += 1;
                state.status = NodeStatus::Running;
            }),
            Some("pause") => self.set(index, |state| state.status = NodeStatus::Paused),
            Some("unpause") => self.set(index, |state| state.status = NodeStatus::Running),
            Some("die") => {
                let status = if self.nodes[index].ending.load(Ordering::Relaxed) {
                    NodeStatus::Stopped
                } else {
                    let out_of_memory = self.out_of_memory(index).await;
                    NodeStatus::Exited(described_exit(attributes.get("exitCode"), out_of_memory))
                };
                self.set(index, |state| state.status = status);
            }
            _ => {}
        }
    }

    /// Whether the kernel ended the node for its memory, or what the engine says of it.
    async fn out_of_memory(&self, index: usize) -> bool {
        let container = &self.nodes[index].container;
        let seen = self.docker.inspect_container(container, None::<InspectContainerOptions>).await;
        seen.ok().and_then(|seen| seen.state?.oom_killed).unwrap_or_default()
    }

    fn set(&self, index: usize, change: impl FnOnce(&mut NodeState)) {
        self.states.send_modify(|states| {
            states.version += 1;
            change(&mut states.nodes[index]);
        });
    }

    /// Waits until every node was seen to start.
    pub(super) async fn all_started(&self) -> Result<(), ClusterError> {
        for index in 0..self.nodes.len() {
            self.reaches(index, "start", |state| state.starts >= state.starts_by_us).await?;
        }
        Ok(())
    }

    pub(super) async fn control(&self, name: &str, action: NodeAction) -> Result<(), ClusterError> {
        let index = self.index(name)?;
        let node = &self.nodes[index];
        let _turn = node.turn.lock().await;
        let status = self.states.borrow().nodes[index].status.clone();
        action.allowed(name, &status)?;
        let isolated = node.isolated.load(Ordering::Relaxed);
        match action {
            NodeAction::Start | NodeAction::Restart if self.over.load(Ordering::Relaxed) => {
                Err(self.error(index, "is not started: its cluster is gone".to_owned()))
            }
            NodeAction::Start | NodeAction::Restart if isolated => {
                Err(self
                    .error(index, "cannot start without its peers' network; let it rejoin first".to_owned()))
            }
            NodeAction::Stop | NodeAction::Kill => self.end(index, action).await,
            NodeAction::Start => self.start(index).await,
            NodeAction::Restart => {
                if NodeAction::Stop.allowed(name, &status).is_ok() {
                    self.end(index, NodeAction::Stop).await?;
                }
                self.start(index).await
            }
            NodeAction::Pause => self.pause(index).await,
            NodeAction::Resume => self.resume(index).await,
            NodeAction::Isolate if isolated => Err(self.error(index, "is isolated already".to_owned())),
            NodeAction::Isolate => self.isolate(index).await,
            NodeAction::Rejoin if !isolated => Err(self.error(index, "is not isolated".to_owned())),
            NodeAction::Rejoin => self.rejoin(index).await,
        }
    }

    /// From now on nothing is started, and who still runs is ended by us.
    pub(super) fn ends(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.nodes.iter().for_each(|node| node.ending.store(true, Ordering::Relaxed));
    }

    /// Nothing of the nodes is left.
    pub(super) fn ended(&self) {
        self.states.send_modify(|states| {
            states.version += 1;
            for node in &mut states.nodes {
                if NodeAction::Stop.allowed(&node.name, &node.status).is_ok() {
                    node.status = NodeStatus::Stopped;
                }
            }
        });
    }

    async fn end(&self, index: usize, how: NodeAction) -> Result<(), ClusterError> {
        let node = &self.nodes[index];
        node.ending.store(true, Ordering::Relaxed);
        let ended = match how {
            NodeAction::Kill => {
                let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
                self.docker.kill_container(&node.container, Some(options)).await
            }
            _ => {
                let options = StopContainerOptionsBuilder::default().t(GRACE).build();
                self.docker.stop_container(&node.container, Some(options)).await
            }
        };
        self.done(index, "be ended", ended)?;
        let runs = |state: &NodeState| matches!(state.status, NodeStatus::Running | NodeStatus::Paused);
        self.reaches(index, "end", |state| !runs(state)).await
    }

    async fn start(&self, index: usize) -> Result<(), ClusterError> {
        let node = &self.nodes[index];
        node.ending.store(false, Ordering::Relaxed);
        self.set(index, |state| state.starts_by_us += 1);
        let started = self.docker.start_container(&node.container, None::<StartContainerOptions>).await;
        if started.is_err() {
            self.set(index, |state| state.starts_by_us -= 1);
        }
        self.done(index, "be started", started)?;
        self.reaches(index, "start", |state| state.starts >= state.starts_by_us).await
    }

    async fn pause(&self, index: usize) -> Result<(), ClusterError> {
        let paused = self.docker.pause_container(&self.nodes[index].container).await;
        self.done(index, "be paused", paused)?;
        self.reaches(index, "pause", |state| state.status != NodeStatus::Running).await
    }

    async fn resume(&self, index: usize) -> Result<(), ClusterError> {
        let resumed = self.docker.unpause_container(&self.nodes[index].container).await;
        self.done(index, "be resumed", resumed)?;
        self.reaches(index, "resume", |state| state.status != NodeStatus::Paused).await
    }

    async fn isolate(&self, index: usize) -> Result<(), ClusterError> {
        let node = &self.nodes[index];
        let request = NetworkDisconnectRequest { container: node.container.clone(), force: Some(false) };
        let left = self.docker.disconnect_network(&self.project.name(PEER), request).await;
        self.done(index, "be isolated", left)?;
        node.isolated.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn rejoin(&self, index: usize) -> Result<(), ClusterError> {
        let node = &self.nodes[index];
        let request = request::connection(&node.container, &node.name, &node.peer);
        let joined = self.docker.connect_network(&self.project.name(PEER), request).await;
        self.done(index, "rejoin its peers", joined)?;
        node.isolated.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn done(
        &self,
        index: usize,
        what: &str,
        result: Result<(), bollard::errors::Error>,
    ) -> Result<(), ClusterError> {
        result.map_err(|error| match is_missing(&error) {
            true => self.error(index, format!("cannot {what}: somebody removed its container")),
            false => self.error(index, format!("cannot {what}: {}", said(&error))),
        })
    }

    /// Waits until the engine tells that the node's state is as it should be.
    async fn reaches(
        &self,
        index: usize,
        what: &str,
        holds: impl Fn(&NodeState) -> bool,
    ) -> Result<(), ClusterError> {
        let mut states = self.states.subscribe();
        let reached = states.wait_for(|states| holds(&states.nodes[index]));
        match tokio::time::timeout(TOLD, reached).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let seen = self.states.borrow().nodes[index].clone();
                let waited = TOLD.as_secs();
                Err(self
                    .error(index, format!("the engine did not tell its {what} within {waited} s: {seen:?}")))
            }
        }
    }

    fn error(&self, index: usize, what: String) -> ClusterError {
        ClusterError { subject: self.nodes[index].name.clone(), what }
    }
}

/// An engine tells a signal as 128 and its number.
fn described_exit(code: Option<&String>, out_of_memory: bool) -> String {
    let code: i32 = code.and_then(|code| code.parse().ok()).unwrap_or(-1);
    let name = match code - 128 {
        6 => Some("SIGABRT"),
        9 => Some("SIGKILL"),
        11 => Some("SIGSEGV"),
        15 => Some("SIGTERM"),
        _ => None,
    };
    let how = match name {
        Some(name) => format!("signal {} ({name})", code - 128),
        None => format!("exit code {code}"),
    };
    if out_of_memory { format!("{how}, since it was out of memory") } else { how }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_its_cause() {
        let told = |code: &str, out_of_memory| described_exit(Some(&code.to_owned()), out_of_memory);
        assert_eq!(told("101", false), "exit code 101");
        assert_eq!(told("137", false), "signal 9 (SIGKILL)");
        assert_eq!(told("137", true), "signal 9 (SIGKILL), since it was out of memory");
        assert_eq!(told("1", false), "exit code 1");
    }
}
