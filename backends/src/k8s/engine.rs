//! What is asked of the API server: objects are made, found and removed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use logos_scenario_runtime::deployer::{ClusterError, DeployError};
use logos_scenario_runtime::wait;
use serde_json::{Value, json};

use super::follow;
use super::labels::{self, Names};
use super::render::{Objects, Storage};
use crate::collectors::Here;
use crate::env::{STORAGE_CLASS, Settings};

/// How long Kubernetes may take to remove what it was told to remove.
const REMOVAL: Duration = Duration::from_secs(60);

/// How long a container that is being made may take to run.
const CONTAINER_BEGINS: Duration = Duration::from_secs(3);
/// How long a container may take to end: the grace that it may be given, and some more.
const CONTAINER_ENDS: Duration = Duration::from_secs(10);
/// How long volumes and claims may take to find each other.
const BINDING: Duration = Duration::from_secs(60);

/// What the API server said, without the client's words around it.
pub(super) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.trim().to_owned(),
        error => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                if !text.contains(&cause_text) {
                    text = format!("{text}: {cause_text}");
                }
                source = cause.source();
            }
            text
        }
    }
}

fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// Whether the API server said that there is no such thing.
pub(super) fn is_missing(error: &kube::Error) -> bool {
    is_code(error, 404)
}

/// An error about one part of a cluster.
pub(super) fn refused(subject: &str, doing: &str, error: &kube::Error) -> DeployError {
    let try_next = match error {
        kube::Error::Api(status) if status.code == 403 && status.message.contains("quota") => {
            "give the namespace a larger quota, or the scenario fewer nodes"
        }
        kube::Error::Api(status) if status.code == 403 => "grant that to the kubeconfig's user",
        kube::Error::Api(_) => "read what the API server says",
        _ => "see whether `kubectl version` answers",
    };
    DeployError::new(subject.to_owned(), format!("{doing}: {}", said(error)), try_next)
}

/// Where data can be kept that outlives pods.
pub(super) async fn storage(client: &Client, settings: &Settings) -> Result<Storage, DeployError> {
    if settings.storage_class.is_some() {
        return Ok(Storage::Class(settings.storage_class.clone()));
    }
    let classes = Api::<StorageClass>::all(client.clone()).list(&ListParams::default()).await;
    let classes = classes.map_err(|error| refused("storage classes", "cannot be listed", &error))?;
    let is_default = |class: &StorageClass| {
        let annotations = class.metadata.annotations.as_ref();
        let default = annotations.and_then(|all| all.get("storageclass.kubernetes.io/is-default-class"));
        default.is_some_and(|value| value == "true")
    };
    if classes.iter().any(is_default) {
        return Ok(Storage::Class(None));
    }
    let machines = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let machines = machines.map_err(|error| refused("the cluster's machines", "cannot be listed", &error))?;
    let usable: Vec<_> = machines.iter().filter(|machine| is_usable(machine)).filter_map(hostname).collect();
    if usable.is_empty() {
        return Err(DeployError::new(
            "storage",
            "there is no default storage class, and no machine of the cluster is ready to take pods",
            format!("let {STORAGE_CLASS} name a storage class, or add a machine"),
        ));
    }
    Ok(Storage::Folders(usable))
}

/// How pods reach this machine: by the address of one of the cluster's machines, if that is this one. An address is this
/// machine's if something can listen there.
pub(super) async fn here(client: &Client) -> Result<Here, DeployError> {
    let machines = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let machines = machines.map_err(|error| refused("the cluster's machines", "cannot be listed", &error))?;
    let addresses = machines.into_iter().filter_map(|machine| machine.status?.addresses).flatten();
    let inner = addresses.filter(|address| address.type_ == "InternalIP");
    let mut here = inner.filter_map(|address| address.address.parse::<IpAddr>().ok());
    let is_ours = |address: &IpAddr| std::net::TcpListener::bind((*address, 0)).is_ok();
    Ok(here.find(is_ours).map_or(Here::Nowhere, Here::At))
}

fn hostname(machine: &Node) -> Option<String> {
    machine.metadata.labels.as_ref()?.get("kubernetes.io/hostname").cloned()
}

fn is_usable(machine: &Node) -> bool {
    let spec = machine.spec.as_ref();
    let taints = spec.and_then(|spec| spec.taints.as_ref());
    let is_open = taints.is_none_or(|taints| taints.iter().all(|taint| taint.effect == "PreferNoSchedule"));
    let conditions = machine.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    is_open && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The machines' images of these names, with their sizes: all that can be told of what a pod would run before it
/// does.
pub(super) async fn images(client: &Client, names: &BTreeSet<String>) -> BTreeMap<String, i64> {
    // Who may not see machines knows images by their names alone.
    let machines = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let images = machines.into_iter().flatten().filter_map(|machine| machine.status?.images).flatten();
    let known = images.flat_map(|image| {
        let size = image.size_bytes.unwrap_or_default();
        image.names.unwrap_or_default().into_iter().map(move |name| (name, size))
    });
    known.filter(|(known, _)| names.iter().any(|name| known.contains(name.as_str()))).collect()
}

/// Makes the namespace and all in it, the nodes last.
pub(super) async fn create(client: &Client, names: &Names, objects: &Objects) -> Result<(), DeployError> {
    let mut namespace = objects.namespace.clone();
    namespace["metadata"]["annotations"] = json!(labels::lease());
    create_one(client, names, &namespace).await?;
    create_all(client, names, objects.needed.iter()).await?;
    let claims = create_all(client, names, objects.claims.iter()).await?;
    if !objects.folders.is_empty() {
        // A folder that knows its claim is bound to it at once, and one that only knows its name a good while later.
        let mut folders = objects.folders.clone();
        for (folder, claim) in folders.iter_mut().zip(claims) {
            folder["spec"]["claimRef"]["uid"] = json!(claim.metadata.uid);
        }
        create_all(client, names, folders.iter()).await?;
        are_bound(client, &names.cluster, objects.claims.len()).await?;
    }
    create_all(client, names, objects.relay.iter().chain(&objects.nodes)).await.map(drop)
}

/// Waits until so many claims of a cluster have their volume: a pod that comes earlier is put off.
async fn are_bound(client: &Client, cluster: &str, count: usize) -> Result<(), DeployError> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), cluster);
    let bound = wait::until("the volumes of all nodes", BINDING, async || {
        let claims = claims.list(&ListParams::default()).await.map_err(|error| said(&error))?;
        let phases = claims.items.into_iter().map(|claim| claim.status?.phase);
        let bound = phases.filter(|phase| phase.as_deref() == Some("Bound")).count();
        if bound == count { Ok(()) } else { Err(format!("{bound} of {count} are bound")) }
    });
    bound.await.map_err(|error| {
        let look =
            format!("`kubectl describe pvc -n {cluster}` says more; {STORAGE_CLASS} names a storage class");
        DeployError::new("volumes", error, look)
    })
}

async fn create_all(
    client: &Client,
    names: &Names,
    objects: impl Iterator<Item = &Value>,
) -> Result<Vec<DynamicObject>, DeployError> {
    try_join_all(objects.map(|object| create_one(client, names, object))).await
}

async fn create_one(client: &Client, names: &Names, object: &Value) -> Result<DynamicObject, DeployError> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let resource = resource(kind);
    let api: Api<DynamicObject> = match kind {
        "Namespace" | "PersistentVolume" => Api::all_with(client.clone(), &resource),
        _ => Api::namespaced_with(client.clone(), &names.cluster, &resource),
    };
    let object: DynamicObject =
        serde_json::from_value(object.clone()).expect("rendered objects have a kind and a name");
    let name = object.metadata.name.clone().unwrap_or_default();
    let made = api.create(&PostParams::default(), &object).await;
    made.map_err(|error| refused(&name, &format!("its {kind} cannot be made"), &error))
}

fn resource(kind: &str) -> ApiResource {
    match kind {
        "Namespace" => ApiResource::erase::<Namespace>(&()),
        "NetworkPolicy" => ApiResource::erase::<NetworkPolicy>(&()),
        "PersistentVolume" => ApiResource::erase::<PersistentVolume>(&()),
        "PersistentVolumeClaim" => ApiResource::erase::<PersistentVolumeClaim>(&()),
        "Pod" => ApiResource::erase::<Pod>(&()),
        "Secret" => ApiResource::erase::<Secret>(&()),
        "Service" => ApiResource::erase::<Service>(&()),
        "ServiceAccount" => ApiResource::erase::<ServiceAccount>(&()),
        "StatefulSet" => ApiResource::erase::<StatefulSet>(&()),
        other => unreachable!("{other} is not rendered"),
    }
}

/// Makes the files that a node was planned anew with, and lets its pods to come be by its new set.
pub(super) async fn replan(
    client: &Client,
    cluster: &str,
    node: &str,
    (files, set): &(Value, Value),
) -> kube::Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), cluster);
    let files = serde_json::from_value(files.clone()).expect("rendered files are a Secret");
    match secrets.create(&PostParams::default(), &files).await {
        // A start before this one came no further.
        Err(error) if is_code(&error, 409) => {}
        made => drop(made?),
    }
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), cluster);
    let patch = Patch::Merge(json!({ "spec": { "template": set["spec"]["template"] } }));
    sets.patch(node, &PatchParams::default(), &patch).await.map(drop)
}

/// Lets a node have one pod, or none.
pub(super) async fn scale(client: &Client, cluster: &str, node: &str, pods: u8) -> kube::Result<()> {
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), cluster);
    let patch = Patch::Merge(json!({ "spec": { "replicas": pods } }));
    api.patch(node, &PatchParams::default(), &patch).await.map(drop)
}

/// Ends a pod at once, or after the grace that it was given when it was made, and waits for the end of what ran in it.
///
/// One that is deleted without any grace may still run, and be started again once more; one that is given some is there
/// for Kubernetes many seconds after its container ended. So it is given a second, the end of its container's log
/// tells that it ended, and then it is deleted for good.
pub(super) async fn end(pods: &Api<Pod>, pod: &str, how: End) -> kube::Result<()> {
    let mut log = follow::to_the_end(pods, pod).await.ok();
    if how == End::AtOnce {
        unless_missing(pods.delete(pod, &DeleteParams::default().grace_period(1)).await)?;
    }
    if log.is_none() && is_being_made(pods, pod).await {
        let made = wait::until("a container", CONTAINER_BEGINS, async || {
            follow::to_the_end(pods, pod).await.map_err(|error| said(&error))
        });
        log = made.await.ok();
    }
    if let Some(log) = log {
        // A machine that does not answer is not waited for.
        let _ = tokio::time::timeout(CONTAINER_ENDS, log).await;
    }
    unless_missing(pods.delete(pod, &DeleteParams::default().grace_period(0)).await)
}

/// Whether a container is about to run, whoever ends its pod meanwhile.
async fn is_being_made(pods: &Api<Pod>, pod: &str) -> bool {
    let Ok(pod) = pods.get(pod).await else { return false };
    let Some(status) = pod.status else { return false };
    let mut waiting =
        status.container_statuses.into_iter().flatten().filter_map(|status| status.state?.waiting);
    waiting.any(|waiting| waiting.reason.as_deref() == Some("ContainerCreating"))
}

/// How a pod is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    AtOnce,
    /// By its set, which was scaled to no pod.
    BySet,
}

/// Says that the owner of a namespace lives.
pub(super) async fn renew(client: &Client, cluster: &str) -> kube::Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    let patch = Patch::Merge(json!({ "metadata": { "annotations": labels::lease() } }));
    api.patch(cluster, &PatchParams::default(), &patch).await.map(drop)
}

/// Removes all of a cluster, and returns when there is none of it any more.
pub(super) async fn remove(client: &Client, cluster: &str) -> Result<(), ClusterError> {
    let removed = wait::until("all of the cluster to be removed", REMOVAL, async || {
        remove_once(client, cluster).await.map_err(|error| said(&error))?;
        let left = left(client, cluster).await.map_err(|error| said(&error))?;
        if left.is_empty() { Ok(()) } else { Err(format!("there are still {}", left.join(", "))) }
    });
    let removed = removed.await;
    removed.map_err(|timed_out| ClusterError { subject: "cluster".to_owned(), what: timed_out.to_string() })
}

/// A namespace that still has pods takes long to end, so these go first, and before them who would make them anew.
async fn remove_once(client: &Client, cluster: &str) -> kube::Result<()> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let namespace = namespaces.get_opt(cluster).await?;
    if namespace.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_none()) {
        end_pods(client, cluster).await?;
        unless_missing(namespaces.delete(cluster, &DeleteParams::background()).await)?;
    }
    // A folder that was claimed is removed by Kubernetes together with its volume; one that never was is not.
    let volumes = Api::<PersistentVolume>::all(client.clone());
    for volume in volumes.list(&ListParams::default().labels(&labels::selector(cluster))).await? {
        let phase = volume.status.and_then(|status| status.phase);
        let unclaimed = matches!(phase.as_deref(), None | Some("Pending" | "Available"));
        if let Some(name) = volume.metadata.name.filter(|_| unclaimed) {
            unless_missing(volumes.delete(&name, &DeleteParams::default()).await)?;
        }
    }
    Ok(())
}

/// Ends all pods of a cluster at once, waits until what ran in them ended, and gives up what they wrote: it must not be
/// removed under their feet.
async fn end_pods(client: &Client, cluster: &str) -> kube::Result<()> {
    let all = ListParams::default();
    let nodes: Api<StatefulSet> = Api::namespaced(client.clone(), cluster);
    nodes.delete_collection(&DeleteParams::orphan(), &all).await?;
    // As long as there is a set, its pods are made anew.
    let gone = wait::until("the end of all sets", REMOVAL, async || match nodes.list(&all).await {
        Ok(left) if left.items.is_empty() => Ok(()),
        Ok(left) => Err(format!("{} are left", left.items.len())),
        Err(error) => Err(said(&error)),
    });
    // What is still there goes with the namespace.
    let _ = gone.await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), cluster);
    loop {
        let there = pods.list(&all).await?;
        let names = there.iter().filter_map(|pod| pod.metadata.name.as_deref());
        let ends = try_join_all(names.map(|name| end(&pods, name, End::AtOnce)));
        if ends.await?.is_empty() {
            break;
        }
    }
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), cluster);
    claims.delete_collection(&DeleteParams::default(), &all).await.map(drop)
}

/// What there still is of a cluster.
async fn left(client: &Client, cluster: &str) -> kube::Result<Vec<String>> {
    let mut left = Vec::new();
    if Api::<Namespace>::all(client.clone()).get_opt(cluster).await?.is_some() {
        left.push(format!("namespace {cluster}"));
    }
    let volumes = Api::<PersistentVolume>::all(client.clone());
    let volumes = volumes.list(&ListParams::default().labels(&labels::selector(cluster))).await?;
    left.extend(
        volumes.iter().filter_map(|volume| Some(format!("volume {}", volume.metadata.name.as_ref()?))),
    );
    Ok(left)
}

/// Somebody else may have removed it meanwhile.
fn unless_missing<T>(result: kube::Result<T>) -> kube::Result<()> {
    match result {
        Err(error) if is_missing(&error) => Ok(()),
        result => result.map(drop),
    }
}
