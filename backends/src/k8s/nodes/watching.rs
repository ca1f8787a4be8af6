//! What Kubernetes tells of a cluster's pods, and what that says of its nodes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Event, Pod};
use kube::Api;
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt as _, watcher::Event as Change};
use logos_scenario_runtime::deployer::NodeStatus;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::{LAST_LINES, Node, Nodes};
use crate::k8s::engine::{self, End};
use crate::k8s::follow::{Which, follow};
use crate::k8s::labels::NODE;
use crate::k8s::{render, trouble};
use crate::states::{described_exit, is_alive};

/// One pod of a node, as far as it was seen.
struct Current {
    uid: String,
    /// What copies the log of its container, once that was started.
    log: Option<JoinHandle<()>>,
    ended: bool,
}

impl Nodes {
    pub(super) async fn watch_pods(self: Arc<Self>) {
        let changes = watcher(self.pods(), watcher::Config::default()).default_backoff();
        let mut listed = Vec::new();
        changes
            .for_each(|change| {
                // What goes wrong is tried again by the watcher.
                match change {
                    Ok(Change::Apply(pod)) => self.tell(&pod, Some(pod.clone())),
                    Ok(Change::Delete(pod)) => self.tell(&pod, None),
                    Ok(Change::Init) => listed.clear(),
                    Ok(Change::InitApply(pod)) => {
                        listed.extend(self.of(&pod).map(|node| &node.name));
                        self.tell(&pod, Some(pod.clone()));
                    }
                    Ok(Change::InitDone) => {
                        // Those that went while nobody watched.
                        for node in self.all().filter(|node| !listed.contains(&&node.name)) {
                            let _ = node.changes.send(None);
                        }
                    }
                    Err(_) => {}
                }
                std::future::ready(())
            })
            .await;
    }

    /// All whose pods are watched.
    fn all(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().chain(&self.relay)
    }

    fn of(&self, pod: &Pod) -> Option<&Node> {
        let name = pod.metadata.labels.as_ref()?.get(NODE)?;
        self.all().find(|node| node.name == *name)
    }

    fn tell(&self, pod: &Pod, change: Option<Pod>) {
        if let Some(node) = self.of(pod) {
            // Who follows the node ends with this.
            let _ = node.changes.send(change);
        }
    }

    pub(super) async fn watch_events(self: Arc<Self>) {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.cluster);
        let events = watcher(events, watcher::Config::default()).default_backoff().applied_objects();
        events
            .for_each(|event| {
                // What goes wrong is tried again by the watcher.
                if let Ok(event) = event {
                    self.tell_of(&event);
                }
                std::future::ready(())
            })
            .await;
    }

    fn tell_of(&self, event: &Event) {
        let about = event.involved_object.name.as_deref().unwrap_or_default();
        let is_about = |node: &&Node| node.name == about || render::pod(&node.name) == about;
        if let Some(trouble) = trouble::of_event(event)
            && let Some(node) = self.all().find(is_about)
        {
            node.seen.send_modify(|seen| seen.trouble = Some(trouble));
        }
    }

    /// Takes in what the watch tells of one node, for ever.
    pub(super) async fn follow_node(
        self: Arc<Self>,
        index: usize,
        mut changes: UnboundedReceiver<Option<Pod>>,
    ) {
        let mut current: Option<Current> = None;
        while let Some(change) = changes.recv().await {
            let uid = change.as_ref().and_then(|pod| pod.metadata.uid.clone());
            if let Some(gone) = current.take_if(|current| Some(&current.uid) != uid.as_ref()) {
                self.is_gone(index, gone).await;
            }
            let trouble = change.as_ref().and_then(trouble::of_pod);
            if let (Some(pod), Some(uid)) = (&change, uid) {
                let current = current.get_or_insert(Current { uid, log: None, ended: false });
                self.is_seen(index, pod, current, trouble.is_some()).await;
            }
            self.nodes[index].seen.send_modify(|seen| {
                seen.pod = change.is_some();
                // A set of which no pod could be made tells that by events.
                if change.is_some() {
                    seen.trouble = trouble;
                }
            });
        }
    }

    /// A pod was seen in a state.
    async fn is_seen(&self, index: usize, pod: &Pod, current: &mut Current, in_trouble: bool) {
        let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first());
        let Some(status) = status else { return };
        let end = terminated(&status.last_state).or_else(|| terminated(&status.state));
        let runs = status.state.as_ref().is_some_and(|state| state.running.is_some());
        if current.log.is_none() && (runs || end.is_some()) && !in_trouble {
            let which =
                if terminated(&status.last_state).is_some() { Which::Previous } else { Which::Current };
            let node = &self.nodes[index];
            let log = follow(self.pods(), render::pod(&node.name), which, node.log.clone());
            current.log = Some(tokio::spawn(log));
            self.states.change(index, |state| {
                state.starts += 1;
                state.status = NodeStatus::Running;
            });
        }
        let Some(end) = end.filter(|_| current.log.is_some() && !current.ended) else { return };
        current.ended = true;
        if self.nodes[index].ending.load(Ordering::Relaxed) {
            // It is ended when its pod is gone.
            return;
        }
        last_lines(&mut current.log).await;
        let out_of_memory = end.reason.as_deref() == Some("OOMKilled");
        let how = described_exit(end.exit_code, out_of_memory);
        self.states.change(index, |state| state.status = NodeStatus::Exited(how));
        // If it cannot be, the node's further starts are not counted all the same.
        let _ = engine::scale(&self.client, &self.cluster, &self.nodes[index].name, 0).await;
        let _ = engine::end(&self.pods(), &render::pod(&self.nodes[index].name), End::AtOnce).await;
    }

    /// A pod is gone.
    async fn is_gone(&self, index: usize, mut gone: Current) {
        last_lines(&mut gone.log).await;
        if !is_alive(&self.states.of(index)) {
            return;
        }
        let status = if self.nodes[index].ending.load(Ordering::Relaxed) {
            NodeStatus::Stopped
        } else {
            NodeStatus::Exited("the end of its pod, which somebody removed".to_owned())
        };
        self.states.change(index, |state| state.status = status);
    }
}

pub(super) fn terminated(state: &Option<ContainerState>) -> Option<ContainerStateTerminated> {
    state.as_ref().and_then(|state| state.terminated.clone())
}

/// Waits for the end of a container's log, which is that of the container.
pub(super) async fn last_lines(log: &mut Option<JoinHandle<()>>) {
    if let Some(log) = log
        && !log.is_finished()
    {
        let _ = tokio::time::timeout(LAST_LINES, log).await;
    }
}
