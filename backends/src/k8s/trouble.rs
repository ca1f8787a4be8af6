//! Why a pod does not start, read from what Kubernetes says of it as soon as it does.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use logos_scenario_runtime::deployer::DeployError;

use super::labels::NODE;
use crate::env::{
    BUILD, DEFAULT_IMAGE, DEFAULT_RELAY_IMAGE, IMAGE, NODE_CPUS, NODE_MEMORY, PULL_POLICY, RELAY_IMAGE,
    STORAGE_CLASS,
};
use crate::relay::ways::RELAY;

/// How long something that often passes may last.
const PASSING: Duration = Duration::from_secs(8);

/// How long something may last that a machine tries again every ten seconds.
const MACHINE: Duration = Duration::from_secs(25);

/// What keeps a pod from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) try_next: String,
    /// How long it must last to be told: some things pass.
    pub(super) patience: Duration,
}

impl Trouble {
    fn new(reason: &str, message: &str, try_next: String) -> Self {
        let message = message.trim();
        let what = match message {
            "" => format!("its pod does not start: {reason}"),
            message => format!("its pod does not start: {reason}: {message}"),
        };
        Self { what, try_next, patience: Duration::ZERO }
    }

    pub(super) fn into_error(self, node: &str) -> DeployError {
        DeployError::new(node, self.what, self.try_next)
    }
}

/// What a pod's own status says.
pub(super) fn of_pod(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let container = status.container_statuses.iter().flatten().next();
    container.and_then(|container| of_container(container, pod)).or_else(|| {
        let condition = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
        let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
        let message = condition.message.as_deref().unwrap_or_default();
        let try_next = if message.contains("PersistentVolumeClaim") || message.contains("persistentvolumeclaim") {
            format!(
                "let {STORAGE_CLASS} name a storage class that has or makes volumes: `kubectl get storageclass` lists them"
            )
        } else {
            format!("start fewer nodes at once, lower {NODE_MEMORY} or {NODE_CPUS}, or add machines that take pods")
        };
        let trouble = Trouble::new(reason, message, try_next);
        // A claim is bound a moment after its pod was made.
        Some(Trouble { patience: PASSING, ..trouble })
    })
}

fn of_container(container: &ContainerStatus, pod: &Pod) -> Option<Trouble> {
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let last = container.last_state.as_ref();
    let ended = |state: &k8s_openapi::api::core::v1::ContainerState| state.terminated.clone();
    let ended = state.and_then(ended).or_else(|| last.and_then(ended));
    let spec = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let image = spec.and_then(|container| container.image.as_deref()).unwrap_or(&container.image);
    if let Some(ended) = ended.filter(|ended| never_ran(ended.reason.as_deref())) {
        let command: Vec<_> = spec.and_then(|spec| spec.command.clone()).unwrap_or_default();
        let look = format!("see whether image `{image}` has the program `{}`", command.join(" "));
        let reason = ended.reason.unwrap_or_default();
        return Some(Trouble::new(&reason, &ended.message.unwrap_or_default(), look));
    }
    let waiting = waiting?;
    let reason = waiting.reason.as_deref()?;
    let try_next = match reason {
        "ErrImageNeverPull" | "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => {
            let (setting, default) =
                if is_relay(pod) { (RELAY_IMAGE, DEFAULT_RELAY_IMAGE) } else { (IMAGE, DEFAULT_IMAGE) };
            let see = match image == default {
                true => format!(
                    "build image `{image}` with `{BUILD}` and bring it to the cluster's machines, as `kind load \
                     docker-image {image}` or `minikube image load {image}` does"
                ),
                false => format!("see whether image `{image}` is where the cluster's machines find it"),
            };
            format!("{see}: {setting} names another, {PULL_POLICY} says whether it is pulled")
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            format!("see whether image `{image}` has the program, and what its pod's events say")
        }
        "CrashLoopBackOff" => "read the node's log".to_owned(),
        _ => return None,
    };
    Some(Trouble::new(reason, waiting.message.as_deref().unwrap_or_default(), try_next))
}

fn is_relay(pod: &Pod) -> bool {
    pod.metadata.labels.as_ref().and_then(|labels| labels.get(NODE)).is_some_and(|node| node == RELAY)
}

/// Whether a container ended without its program having run.
fn never_ran(reason: Option<&str>) -> bool {
    matches!(reason, Some("ContainerCannotRun" | "StartError"))
}

/// What an event says that is about a node's set of pods, of which none could be made, or about its pod.
pub(super) fn of_event(event: &Event) -> Option<Trouble> {
    let message = event.message.as_deref().unwrap_or_default();
    match (event.type_.as_deref()?, event.reason.as_deref()?) {
        ("Warning", reason @ "FailedCreate") => {
            let (try_next, patience) = match message {
                message if message.contains("exceeded quota") => {
                    let larger =
                        "give the namespaces of the cluster a larger quota, or the scenario fewer nodes";
                    (larger, Duration::ZERO)
                }
                // Nobody has counted yet what there is.
                message if message.contains("status unknown for quota") => {
                    ("read what the API server says", PASSING)
                }
                message if message.contains("forbidden") || message.contains("denied") => {
                    ("let the cluster's policies admit the pod", Duration::ZERO)
                }
                _ => ("read what the API server says", PASSING),
            };
            Some(Trouble { patience, ..Trouble::new(reason, message, try_next.to_owned()) })
        }
        ("Warning", reason @ ("FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox")) => {
            let look = "read what the machine says; it may be out of room".to_owned();
            Some(Trouble { patience: MACHINE, ..Trouble::new(reason, message, look) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        let container = json!({ "name": "node", "image": "the:image", "command": ["nope"] });
        serde_json::from_value(json!({ "spec": { "containers": [container] }, "status": status })).unwrap()
    }

    fn container(state: Value) -> Value {
        let status = json!({
            "name": "node", "image": "the:image", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        });
        json!({ "containerStatuses": [status] })
    }

    fn check(status: Value, parts: &[&str]) {
        let trouble = of_pod(&pod(status)).expect("there is trouble");
        let told = trouble.into_error("validator-0").to_string();
        for part in parts {
            assert!(told.contains(part), "no `{part}` in {told}");
        }
    }

    #[test]
    fn what_keeps_a_pod_from_starting_is_told() {
        let waiting = |reason: &str| container(json!({ "waiting": { "reason": reason, "message": "said" } }));
        check(
            waiting("ErrImageNeverPull"),
            &["validator-0", "ErrImageNeverPull: said", "`the:image`", IMAGE],
        );
        check(waiting("ImagePullBackOff"), &["ImagePullBackOff: said", PULL_POLICY]);
        let mut pod = pod(waiting("ErrImagePull"));
        pod.spec.as_mut().unwrap().containers[0].image = Some(DEFAULT_IMAGE.to_owned());
        let told = of_pod(&pod).unwrap().try_next;
        assert!(
            told.contains(BUILD) && told.contains("kind load docker-image logos-scenario-node:local"),
            "{told}"
        );
        check(waiting("CreateContainerConfigError"), &["said", "events"]);
        check(waiting("CrashLoopBackOff"), &["log"]);
        let cannot = json!({ "reason": "ContainerCannotRun", "message": "not found", "exitCode": 127 });
        check(container(json!({ "terminated": cannot })), &["not found", "has the program `nope`"]);
        let unscheduled = |message: &str| {
            let condition = json!({
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            });
            json!({ "conditions": [condition] })
        };
        check(unscheduled("0/1 nodes"), &["Unschedulable: 0/1 nodes", NODE_MEMORY]);
        check(unscheduled("pod has unbound immediate PersistentVolumeClaims."), &["unbound", STORAGE_CLASS]);
        check(unscheduled("persistentvolumeclaim \"a\" not found"), &["not found", STORAGE_CLASS]);
    }

    #[test]
    fn a_pod_that_starts_or_ran_is_in_no_trouble() {
        for state in [
            json!({ "waiting": { "reason": "ContainerCreating" } }),
            json!({ "running": {} }),
            json!({ "terminated": { "exitCode": 101, "reason": "Error" } }),
        ] {
            assert_eq!(of_pod(&pod(container(state.clone()))), None, "{state}");
        }
        assert_eq!(of_pod(&pod(json!({}))), None);
    }

    #[test]
    fn events_that_keep_a_pod_from_being_are_told() {
        let event = |kind: &str, reason: &str, message: &str| -> Event {
            let event = json!({
                "metadata": {}, "involvedObject": {}, "type": kind, "reason": reason, "message": message,
            });
            serde_json::from_value(event).unwrap()
        };
        let quota = of_event(&event("Warning", "FailedCreate", "exceeded quota: few")).unwrap();
        assert!(
            quota.what.contains("exceeded quota") && quota.try_next.contains("larger quota"),
            "{quota:?}"
        );
        assert_eq!(quota.patience, Duration::ZERO);
        let new =
            of_event(&event("Warning", "FailedCreate", "forbidden: status unknown for quota: few")).unwrap();
        assert_eq!(new.patience, PASSING);
        let busy = of_event(&event("Warning", "FailedCreate", "please try again")).unwrap();
        assert_eq!(busy.patience, PASSING);
        assert_eq!(of_event(&event("Warning", "FailedMount", "no")).unwrap().patience, MACHINE);
        assert_eq!(of_event(&event("Normal", "Pulled", "yes")), None);
    }
}
