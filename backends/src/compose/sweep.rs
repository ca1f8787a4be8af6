//! Leftovers: what belongs to an owner that is no longer alive, and nothing else.
//!
//! An owner in this pid namespace is looked for by pid and start time. One that is out of sight, in another
//! container or on a machine that was started anew, counts as gone when its heartbeat stopped. Labels cannot be
//! changed, so a heartbeat is an empty volume that is replaced by a later one.

use std::collections::{BTreeMap, HashMap};

use bollard::Docker;
use bollard::query_parameters::RemoveVolumeOptions;
use futures::future::join_all;
use logos_scenario_runtime::deployer::{ClusterError, DeployError};

use super::engine::{self, Found, Labelled};
use super::labels::{CLUSTER, HEARTBEAT, OWNER, Project, now};
use super::request;
use crate::awaited::Beats;
use crate::owner::{Life, Owner};

/// Silence after which an owner out of sight counts as gone, in seconds.
const EXPIRY: u64 = 180;

/// Says that the owner lives, again and again, until the cluster is torn down.
pub(super) async fn beat(docker: Docker, project: Project, mut beats: Beats) {
    let mut last: Option<String> = None;
    while let Some(_running) = beats.next().await {
        let made = docker.create_volume(request::volume(&project, &format!("alive-{}", now()))).await;
        let Ok(made) = made else { continue };
        if let Some(before) = last.replace(made.name) {
            // It is removed with the cluster if it cannot be now.
            let _ = docker.remove_volume(&before, None::<RemoveVolumeOptions>).await;
        }
    }
}

/// Removes all clusters whose owner is gone, and says which. One that cannot be removed keeps no other.
pub(super) async fn sweep(docker: &Docker) -> Result<Vec<String>, DeployError> {
    let found = engine::labelled(docker, OWNER).await;
    let found = found.map_err(|error| engine::refused("leftovers", "cannot be listed", &error))?;
    // Beside each other: one that takes long, or cannot be removed, holds up no other.
    let removals = abandoned(&found, now()).into_iter().map(|cluster| removed(docker, cluster));
    let (mut swept, mut failed) = (Vec::new(), None);
    for removal in join_all(removals).await {
        match removal {
            Ok(cluster) => swept.push(cluster),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(swept), Err)
}

/// Removes one cluster; its name, and what there was of it.
async fn removed(docker: &Docker, cluster: String) -> Result<String, DeployError> {
    let label = format!("{CLUSTER}={cluster}");
    let counts =
        engine::labelled(docker, &label).await.map_or_else(|_| String::new(), |found| found.counts());
    match engine::remove(docker, &label).await {
        Ok(()) => Ok(format!("{cluster}: {counts}")),
        Err(error) => Err(unremovable(&cluster, &label, &error)),
    }
}

fn unremovable(cluster: &str, label: &str, error: &ClusterError) -> DeployError {
    DeployError::new(
        cluster.to_owned(),
        format!("is left by an owner that is gone, and cannot be removed: {}", error.what),
        format!("`docker ps -a --filter label={label}` shows what is left"),
    )
}

/// The clusters whose owner is gone.
fn abandoned(found: &Found, now: u64) -> Vec<String> {
    let mut clusters: BTreeMap<&str, Vec<&HashMap<String, String>>> = BTreeMap::new();
    for Labelled { labels, .. } in found.all() {
        if let Some(cluster) = labels.get(CLUSTER) {
            clusters.entry(cluster).or_default().push(labels);
        }
    }
    let gone = clusters.into_iter().filter(|(_, labels)| is_gone(labels, now));
    gone.map(|(cluster, _)| cluster.to_owned()).collect()
}

/// Whether the owner of things with these labels is gone; an owner whose label cannot be read is not.
fn is_gone(labels: &[&HashMap<String, String>], now: u64) -> bool {
    let Some(owner) = labels.iter().find_map(|labels| labels.get(OWNER)?.parse::<Owner>().ok()) else {
        return false;
    };
    let beats = labels.iter().filter_map(|labels| labels.get(HEARTBEAT)?.parse::<u64>().ok());
    match owner.life() {
        Life::Lives => false,
        Life::Gone => true,
        Life::OutOfSight => beats.max().is_some_and(|last| now.saturating_sub(last) > EXPIRY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn check(owner: &str, beats: &[u64], expected: bool) {
        let labelled = |beat: &u64| Labelled {
            id: beat.to_string(),
            labels: [(CLUSTER, "one"), (OWNER, owner), (HEARTBEAT, &beat.to_string())]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let found = Found { volumes: beats.iter().map(labelled).collect(), ..Found::default() };
        assert_eq!(!abandoned(&found, NOW).is_empty(), expected, "{owner} {beats:?}");
    }

    #[test]
    fn only_what_has_no_living_owner_is_swept() {
        let this = Owner::this().to_string();
        let (namespace, _) = this.rsplit_once('/').and_then(|(rest, _)| rest.rsplit_once('/')).unwrap();
        let dead = format!("{namespace}/1/77");
        check(&this, &[0], false);
        check(&dead, &[NOW], true);
        check("boot/1/2/3", &[NOW - EXPIRY - 1], true);
        check("boot/1/2/3", &[NOW - EXPIRY - 1, NOW - EXPIRY], false);
        check("what is this", &[0], false);
    }
}
