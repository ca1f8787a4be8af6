//! Leftovers: what belongs to an owner that is no longer alive, and nothing else.
//!
//! An owner in this pid namespace is looked for by pid and start time. One that is out of sight, on another machine,
//! counts as gone when its lease ran out.

use std::collections::BTreeSet;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use kube::api::ListParams;
use kube::{Api, Client};
use logos_scenario_runtime::deployer::{ClusterError, DeployError};

use super::engine::{self, refused};
use super::labels::{CLUSTER, LEASE, OWNER};
use crate::awaited::Beats;
use crate::owner::{Life, Owner, now};

/// Renews the lease, again and again, until the cluster is torn down.
pub(super) async fn renew(client: Client, cluster: String, mut beats: Beats) {
    while let Some(_running) = beats.next().await {
        // The lease is as long as several beats.
        let _ = engine::renew(&client, &cluster).await;
    }
}

/// Removes all clusters whose owner is gone, beside each other, and says which. One that cannot be removed keeps no
/// other.
pub(super) async fn sweep(client: &Client) -> Result<Vec<String>, DeployError> {
    let labelled = ListParams::default().labels(CLUSTER);
    let failed = |error| refused("leftovers", "cannot be listed", &error);
    let (namespaces, volumes) =
        (Api::<Namespace>::all(client.clone()), Api::<PersistentVolume>::all(client.clone()));
    // A namespace is made before its volumes: one that is missing now was there before.
    let volumes = volumes.list(&labelled).await.map_err(failed)?;
    let namespaces = namespaces.list(&labelled).await.map_err(failed)?;
    let removals = abandoned(&namespaces.items, &volumes.items, now()).into_iter().map(async |cluster| {
        let removed = engine::remove(client, &cluster).await;
        removed.map_err(|error| unremovable(&cluster, &error)).map(|()| cluster)
    });
    join_all(removals).await.into_iter().collect()
}

fn unremovable(cluster: &str, error: &ClusterError) -> DeployError {
    DeployError::new(
        cluster.to_owned(),
        format!("is left by an owner that is gone, and cannot be removed: {}", error.what),
        format!("`kubectl get all -n {cluster}` shows what is left"),
    )
}

/// The clusters whose owner is gone, also those of which only volumes are left.
fn abandoned(namespaces: &[Namespace], volumes: &[PersistentVolume], now: u64) -> BTreeSet<String> {
    let gone = namespaces.iter().filter(|namespace| is_gone(namespace, now));
    let gone = gone.filter_map(|namespace| namespace.metadata.name.clone());
    let there: BTreeSet<_> =
        namespaces.iter().filter_map(|namespace| namespace.metadata.name.as_ref()).collect();
    let claimed = volumes.iter().filter_map(|volume| volume.metadata.labels.as_ref()?.get(CLUSTER));
    gone.chain(claimed.filter(|cluster| !there.contains(cluster)).cloned()).collect()
}

/// Whether the owner of a namespace is gone; an owner whose annotation cannot be read is not.
fn is_gone(namespace: &Namespace, now: u64) -> bool {
    let annotation = |name: &str| namespace.metadata.annotations.as_ref()?.get(name);
    let Some(owner) = annotation(OWNER).and_then(|owner| owner.parse::<Owner>().ok()) else { return false };
    match owner.life() {
        Life::Lives => false,
        Life::Gone => true,
        Life::OutOfSight => {
            annotation(LEASE).and_then(|until| until.parse().ok()).is_some_and(|until: u64| until < now)
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    const NOW: u64 = 1_000_000;

    fn check(owner: &str, lease: u64, expected: bool) {
        let annotations = [(OWNER, owner), (LEASE, &lease.to_string())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let metadata =
            ObjectMeta { name: Some("one".into()), annotations: Some(annotations), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let swept = abandoned(&[namespace], &[volume("one")], NOW);
        assert_eq!(swept.contains("one"), expected, "{owner} {lease}");
    }

    fn volume(cluster: &str) -> PersistentVolume {
        let labels = [(CLUSTER.to_owned(), cluster.to_owned())].into();
        let metadata = ObjectMeta { labels: Some(labels), ..ObjectMeta::default() };
        PersistentVolume { metadata, ..PersistentVolume::default() }
    }

    #[test]
    fn only_what_has_no_living_owner_is_swept() {
        let this = Owner::this().to_string();
        let (namespace, _) = this.rsplit_once('/').and_then(|(rest, _)| rest.rsplit_once('/')).unwrap();
        check(&this, 0, false);
        check(&format!("{namespace}/1/77"), NOW, true);
        check("boot/1/2/3", NOW - 1, true);
        check("boot/1/2/3", NOW, false);
        check("what is this", 0, false);
    }

    #[test]
    fn a_volume_without_its_namespace_is_swept() {
        assert_eq!(abandoned(&[], &[volume("one")], NOW), ["one".to_owned()].into());
    }
}
