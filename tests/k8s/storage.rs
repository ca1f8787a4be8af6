//! Where nodes keep their data, where there is a storage class.

use std::path::Path;

use anyhow::{Context, anyhow};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use logos_scenario::wait;
use serde_json::json;

use crate::ends::new_invocation;
use crate::refusals::told;
use crate::{Outcome, WITHIN};

/// Nodes are nobody there, and may write all the same.
pub(crate) async fn data_is_in_volumes_of_a_class() -> Outcome {
    let (client, class) = (Client::try_default().await?, new_invocation());
    let folders = [format!("/tmp/{class}-0"), format!("/tmp/{class}-1")];
    let machine = make_folders(&client, &class, &folders).await?;
    let classes = Api::<StorageClass>::all(client.clone());
    let volumes = Api::<PersistentVolume>::all(client);
    let made = async {
        let object = json!({ "metadata": { "name": class }, "provisioner": "kubernetes.io/no-provisioner" });
        classes.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        for folder in &folders {
            let volume = volume(&class, folder, &machine);
            volumes.create(&PostParams::default(), &serde_json::from_value(volume)?).await?;
        }
        told("passes", &[("SCENARIO_KUBE_STORAGE_CLASS", &class)], 0, &["1 passed"]).await
    };
    let outcome = made.await;
    for folder in &folders {
        // What was not made cannot be removed, nor what is not on this machine.
        let _ = volumes.delete(name_of(folder), &DeleteParams::default()).await;
        let _ = std::fs::remove_dir_all(folder);
    }
    let _ = classes.delete(&class, &DeleteParams::default()).await;
    outcome
}

/// Folders on a machine of the cluster: the name by which it is selected.
async fn make_folders(client: &Client, name: &str, folders: &[String]) -> anyhow::Result<String> {
    let mount = |folder: &String| json!({ "name": name_of(folder), "mountPath": folder });
    let volume = |folder: &String| json!({ "name": name_of(folder), "hostPath": { "path": folder, "type": "DirectoryOrCreate" } });
    let container = json!({
        "name": "waits",
        // An image of Kubernetes' own that every machine has.
        "image": "k8s.gcr.io/pause:3.2",
        "volumeMounts": folders.iter().map(mount).collect::<Vec<_>>(),
    });
    let pod = json!({ "metadata": { "name": name }, "spec": {
        "containers": [container],
        "volumes": folders.iter().map(volume).collect::<Vec<_>>(),
    } });
    let pods = Api::<Pod>::namespaced(client.clone(), "default");
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let runs = async || {
        let pod = pods.get(name).await.map_err(|error| error.to_string())?;
        let phase = pod.status.and_then(|status| status.phase);
        let machine =
            pod.spec.and_then(|spec| spec.node_name).filter(|_| phase.as_deref() == Some("Running"));
        machine.ok_or_else(|| format!("{phase:?}"))
    };
    let machine = wait::until("the folders", WITHIN, runs).await;
    pods.delete(name, &DeleteParams::default().grace_period(0)).await?;
    let machine = machine.map_err(|error| anyhow!("{error}"))?;
    let machine = Api::<Node>::all(client.clone()).get(&machine).await?;
    let label = machine.metadata.labels.and_then(|mut labels| labels.remove("kubernetes.io/hostname"));
    label.context("a machine has a name")
}

fn name_of(folder: &str) -> &str {
    Path::new(folder).file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn volume(class: &str, folder: &str, machine: &str) -> serde_json::Value {
    let here = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [machine] });
    json!({ "metadata": { "name": name_of(folder) }, "spec": {
        "storageClassName": class,
        "capacity": { "storage": "1Gi" },
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "local": { "path": folder },
        "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [here] }] } },
    } })
}
