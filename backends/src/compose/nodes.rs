//! The containers of a cluster: what is done to them, and what they do.
//!
//! The engine's events tell every start and end, whoever caused it; an action is done when its event came.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::models::{EventMessage, NetworkDisconnectRequest};
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder, StartContainerOptions,
    StatsOptionsBuilder, StopContainerOptionsBuilder,
};
use futures::StreamExt;
use futures::future::join_all;
use logos_scenario_runtime::deployer::{
    ClusterError, DeployError, NodeAction, NodeState, NodeStatus, States, Usage,
};
use logos_scenario_runtime::plan::PlannedNode;
use logos_scenario_runtime::wait;
use tokio::sync::Mutex;

use super::engine::{self, is_missing, said};
use super::files::NodeLog;
use super::labels::{Project, now};
use super::model::{Attachment, Compose, Service};
use super::request;
use crate::relay::ways::RELAY;
use crate::states::{NodeStates, described_exit, is_alive};

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
    states: NodeStates,
    relay_log: NodeLog,
    /// Nothing may be started any more.
    over: AtomicBool,
}

#[derive(Debug)]
struct Node {
    name: String,
    container: String,
    /// The network on which it reaches others, and its place there.
    peer: (String, Attachment),
    log: NodeLog,
    /// One action at a time.
    turn: Mutex<()>,
    /// Set before we end the node, so that its end is known to be our doing.
    ending: AtomicBool,
    isolated: AtomicBool,
    /// What its container is next, where that is another.
    next: StdMutex<Option<(PlannedNode, Service)>>,
}

impl Nodes {
    /// The planned nodes of a file, of which none was made yet; their logs will be files in a folder.
    pub(super) fn new(
        docker: &Docker,
        project: &Project,
        planned: &[PlannedNode],
        file: &Compose,
        logs: &Path,
    ) -> Self {
        let node = |PlannedNode { name, .. }: &PlannedNode| Node {
            name: name.clone(),
            container: project.container(name),
            peer: peer_network(&file.services[name]),
            log: NodeLog::new(logs.join(format!("{name}.log"))),
            turn: Mutex::default(),
            ending: AtomicBool::new(false),
            isolated: AtomicBool::new(false),
            next: StdMutex::default(),
        };
        Self {
            nodes: planned.iter().map(node).collect(),
            states: NodeStates::new(planned.iter().map(|node| &node.name)),
            relay_log: NodeLog::new(logs.join("relay.log")),
            over: AtomicBool::new(false),
            docker: docker.clone(),
            project: project.clone(),
        }
    }

    /// Makes all nodes and starts those that are not late, beside each other.
    pub(super) async fn start_all(&self, planned: &[PlannedNode], file: &Compose) -> Result<(), DeployError> {
        let starts = planned.iter().enumerate().map(async |(index, node)| {
            engine::create(&self.docker, &self.project, node, &file.services[&node.name]).await?;
            if node.late {
                return Ok(());
            }
            let failed = |ClusterError { subject, what }| {
                let try_next = match what.contains("executable file not found") {
                    true => format!(
                        "use another image than `{}`, which lacks it",
                        file.services[&node.name].image
                    ),
                    false => "see `docker events` for what the engine does".to_owned(),
                };
                DeployError::new(subject, what, try_next)
            };
            self.start(index).await.map_err(failed)
        });
        join_all(starts).await.into_iter().collect()
    }

    pub(super) async fn states(&self, newer_than: u64) -> States {
        self.states.newer_than(newer_than).await
    }

    /// The file of a node's log, with all that the engine has by now.
    pub(super) async fn log(&self, name: &str) -> Result<&Path, ClusterError> {
        let Node { name, container, log, .. } = &self.nodes[self.index(name)?];
        log.copy(&self.docker, name, container).await
    }

    /// What a node uses by the engine's count, without files that the kernel holds for it and can drop.
    pub(super) async fn usage(&self, name: &str) -> Result<Option<Usage>, ClusterError> {
        let index = self.index(name)?;
        if !is_alive(&self.states.of(index)) {
            return Ok(None);
        }
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let stats = self.docker.stats(&self.nodes[index].container, Some(options)).next().await;
        let stats = stats.transpose().map_err(|error| ClusterError {
            subject: name.to_owned(),
            what: format!("what it uses cannot be told: {}", said(&error)),
        })?;
        Ok(stats.and_then(|stats| {
            let memory = stats.memory_stats?;
            let dropped = memory.stats.and_then(|stats| stats.get("inactive_file").copied()).unwrap_or(0);
            let processor = Duration::from_nanos(stats.cpu_stats?.cpu_usage?.total_usage?);
            Some(Usage { memory: memory.usage?.saturating_sub(dropped), processor })
        }))
    }

    /// Lets the files of all logs have what the engine has by now.
    pub(super) async fn copy_logs(&self) -> Result<(), ClusterError> {
        let copies = self.nodes.iter().map(async |node| self.log(&node.name).await.map(drop));
        join_all(copies).await.into_iter().collect()
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
        let mut since = now().saturating_sub(1).to_string();
        // The engine tells what happened at once in any order, and what came before the stream broke off again.
        let mut told = HashSet::new();
        loop {
            let options = EventsOptionsBuilder::default().since(&since).filters(&filters).build();
            let mut events = Box::pin(self.docker.events(Some(options)));
            while let Some(Ok(event)) = events.next().await {
                let container = event.actor.as_ref().and_then(|actor| actor.id.clone());
                if told.insert((event.time_nano, container, event.action.clone())) {
                    since = event.time.unwrap_or_default().saturating_sub(1).to_string();
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
        if service.is_some_and(|name| name == RELAY) && event.action.as_deref() == Some("die") {
            return self.relay_ended(attributes.get("exitCode")).await;
        }
        let Some(index) = service.and_then(|name| self.index(name).ok()) else { return };
        match event.action.as_deref() {
            Some("start") => self.states.change(index, |state| {
                state.starts += 1;
                state.status = NodeStatus::Running;
            }),
            Some("pause") => self.states.change(index, |state| state.status = NodeStatus::Paused),
            Some("unpause") => self.states.change(index, |state| state.status = NodeStatus::Running),
            Some("die") => {
                let status = if self.nodes[index].ending.load(Ordering::Relaxed) {
                    NodeStatus::Stopped
                } else {
                    let out_of_memory = self.out_of_memory(index).await;
                    let code = attributes.get("exitCode").and_then(|code| code.parse().ok());
                    NodeStatus::Exited(described_exit(code.unwrap_or(-1), out_of_memory))
                };
                self.states.change(index, |state| state.status = status);
            }
            _ => {}
        }
    }

    /// Tells the end of the relay, unless the cluster ends: without it no node hears another.
    async fn relay_ended(&self, code: Option<&String>) {
        if self.over.load(Ordering::Relaxed) {
            return;
        }
        let code = code.and_then(|code| code.parse().ok());
        let how = described_exit(code.unwrap_or(-1), false);
        let container = self.project.container(RELAY);
        let look = match self.relay_log.copy(&self.docker, RELAY, &container).await {
            Ok(log) => format!("its log is {}", log.display()),
            Err(error) => error.to_string(),
        };
        self.states
            .broken(&format!("the relay between the nodes, container {container}, ended with {how}; {look}"));
    }

    /// Whether the kernel ended the node for its memory, or what the engine says of it.
    async fn out_of_memory(&self, index: usize) -> bool {
        let container = &self.nodes[index].container;
        let seen = self.docker.inspect_container(container, None::<InspectContainerOptions>).await;
        seen.ok().and_then(|seen| seen.state?.oom_killed).unwrap_or_default()
    }

    pub(super) async fn control(&self, name: &str, action: NodeAction) -> Result<(), ClusterError> {
        let index = self.index(name)?;
        let node = &self.nodes[index];
        let _turn = node.turn.lock().await;
        let status = self.states.of(index).status;
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
                if is_alive(&self.states.of(index)) {
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

    /// Lets a node have another container from its next start on.
    pub(super) fn replan(&self, node: PlannedNode, service: Service) -> Result<(), ClusterError> {
        let planned = &self.nodes[self.index(&node.name)?];
        self.states.replanned(&planned.name);
        *planned.next.lock().unwrap_or_else(PoisonError::into_inner) = Some((node, service));
        Ok(())
    }

    /// Makes the container anew that a node was planned to have, with the volume of the one before.
    async fn make_anew(&self, index: usize) -> Result<(), ClusterError> {
        let Node { name, container, log, next, .. } = &self.nodes[index];
        let planned = next.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((node, service)) = planned else { return Ok(()) };
        // The engine's log goes with the container.
        log.copy(&self.docker, name, container).await?;
        engine::remove_container(&self.docker, container)
            .await
            .map_err(|error| self.error(index, format!("cannot be made anew: {}", said(&error))))?;
        log.of_another().await;
        engine::create(&self.docker, &self.project, &node, &service).await?;
        // Who was planned anew meanwhile is made anew at the start after this one.
        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
        next.take_if(|(planned, _)| *planned == node);
        Ok(())
    }

    /// From now on nothing is started, and who still runs is ended by us.
    pub(super) fn ends(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.nodes.iter().for_each(|node| node.ending.store(true, Ordering::Relaxed));
    }

    /// Nothing of the nodes is left.
    pub(super) fn ended(&self) {
        for index in 0..self.nodes.len() {
            if is_alive(&self.states.of(index)) {
                self.states.change(index, |state| state.status = NodeStatus::Stopped);
            }
        }
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
        self.reaches(index, "end", |state| !is_alive(state)).await
    }

    async fn start(&self, index: usize) -> Result<(), ClusterError> {
        let node = &self.nodes[index];
        self.make_anew(index).await?;
        node.ending.store(false, Ordering::Relaxed);
        self.states.change(index, |state| state.starts_by_us += 1);
        let started = self.docker.start_container(&node.container, None::<StartContainerOptions>).await;
        if started.is_err() {
            self.states.change(index, |state| state.starts_by_us -= 1);
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
        let left = self.docker.disconnect_network(&self.project.name(&node.peer.0), request).await;
        self.done(index, "be isolated", left)?;
        node.isolated.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn rejoin(&self, index: usize) -> Result<(), ClusterError> {
        let node = &self.nodes[index];
        let (network, attachment) = &node.peer;
        let request = request::connection(&node.container, &node.name, attachment);
        let joined = self.docker.connect_network(&self.project.name(network), request).await;
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
        self.states.told(index, ("the engine", what), TOLD, holds).await
    }

    fn error(&self, index: usize, what: String) -> ClusterError {
        ClusterError { subject: self.nodes[index].name.clone(), what }
    }
}

/// The one network of a node's service on which it reaches others.
fn peer_network(service: &Service) -> (String, Attachment) {
    let mut further = request::further_networks(service);
    let (name, attachment) = further.next().expect("every node has a network for its peers");
    (name.to_owned(), attachment.clone())
}
