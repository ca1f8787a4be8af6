//! The pod of the relay: without it no node hears another, and one that was started again would have healed every
//! link without a word. So its end is told, and nobody starts it anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use logos_scenario_runtime::deployer::DeployError;
use tokio::sync::mpsc::UnboundedReceiver;

use super::watching::{last_lines, terminated};
use super::{Nodes, START, lasting_trouble};
use crate::k8s::follow::{Which, follow};
use crate::k8s::reach::Reach;
use crate::k8s::trouble::Trouble;
use crate::k8s::{render, trouble};
use crate::relay::control::{self, Remote};
use crate::relay::ways::RELAY;
use crate::states::described_exit;

impl Nodes {
    /// The relay, where there is one, as soon as it answers, or why it cannot.
    pub(in crate::k8s) async fn relay_answers(&self, reach: &Reach) -> Result<Option<Remote>, DeployError> {
        let Some((relay, at)) = self.relay.as_ref().zip(reach.address(RELAY, control::PORT)) else {
            return Ok(None);
        };
        let look = format!("`kubectl describe pod {} -n {}` says more", render::pod(RELAY), self.cluster);
        let answering = tokio::select! {
            answering = Remote::answering(at.clone(), START, look) => answering,
            trouble = lasting_trouble(relay) => Err(trouble.into_error(RELAY)),
        };
        match answering {
            Ok(answering) => Ok(Some(answering)),
            Err(failed) => Err(self.explained(relay, failed).await),
        }
    }

    /// Takes in what the watch tells of the relay, until it ended.
    pub(super) async fn follow_relay(self: Arc<Self>, mut changes: UnboundedReceiver<Option<Pod>>) {
        let Some(relay) = &self.relay else { return };
        let mut log = None;
        while let Some(change) = changes.recv().await {
            let trouble = change.as_ref().and_then(trouble::of_pod);
            let seen = Seen::of(change.as_ref());
            if log.is_none() && seen.began && trouble.is_none() {
                let pod = render::pod(RELAY);
                log = Some(tokio::spawn(follow(self.pods(), pod, Which::Current, relay.log.clone())));
            }
            if change.is_some() {
                relay.seen.send_modify(|seen| seen.trouble = trouble);
            }
            let Some(how) = seen.end.filter(|_| log.is_some()) else { continue };
            last_lines(&mut log).await;
            let trouble = Trouble {
                what: format!("it ended with {how}"),
                try_next: "read its log".to_owned(),
                patience: Duration::ZERO,
            };
            relay.seen.send_modify(|seen| seen.trouble = Some(trouble));
            if !self.over.load(Ordering::Relaxed) {
                self.states.broken(&format!(
                    "the relay between the nodes, pod {} of namespace {}, ended with {how}; its log is {}",
                    render::pod(RELAY),
                    self.cluster,
                    relay.log.display()
                ));
            }
            return;
        }
    }
}

/// What a look at the relay's pod shows.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Whether its container was started.
    began: bool,
    end: Option<String>,
}

impl Seen {
    fn of(pod: Option<&Pod>) -> Self {
        let Some(pod) = pod else {
            let removed = "the end of its pod, which somebody removed";
            return Self { began: false, end: Some(removed.to_owned()) };
        };
        let status = pod.status.as_ref();
        let container = status.and_then(|status| status.container_statuses.as_ref()?.first());
        let ended = container.and_then(|container| terminated(&container.state));
        let state = container.and_then(|container| container.state.as_ref());
        let began = ended.is_some() || state.is_some_and(|state| state.running.is_some());
        let exit = ended.map(|end| described_exit(end.exit_code, end.reason.as_deref() == Some("OOMKilled")));
        // A machine that needs room ends a pod without a word of its container.
        let evicted = status.filter(|status| status.phase.as_deref() == Some("Failed"));
        let evicted = evicted.map(|status| {
            let texts = [&status.reason, &status.message].into_iter().flatten();
            texts.map(String::as_str).collect::<Vec<_>>().join(": ")
        });
        Self { began, end: exit.or(evicted) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(status: &Value, began: bool, end: Option<&str>) {
        let pod = serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap();
        assert_eq!(Seen::of(Some(&pod)), Seen { began, end: end.map(str::to_owned) }, "{status}");
    }

    #[test]
    fn a_relay_ends_with_its_container_or_its_pod() {
        let container = |state: Value| {
            let name = json!({ "name": "node", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state });
            json!({ "phase": "Running", "containerStatuses": [name] })
        };
        check(&json!({ "phase": "Pending" }), false, None);
        check(&container(json!({ "waiting": { "reason": "ContainerCreating" } })), false, None);
        check(&container(json!({ "running": {} })), true, None);
        check(&container(json!({ "terminated": { "exitCode": 1 } })), true, Some("exit code 1"));
        let evicted = json!({ "phase": "Failed", "reason": "Evicted", "message": "low on memory" });
        check(&evicted, false, Some("Evicted: low on memory"));
        assert_eq!(Seen::of(None).end.unwrap(), "the end of its pod, which somebody removed");
    }
}
