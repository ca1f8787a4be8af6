//! Which image a node's container is made from: what the scenario names for it alone, else what a setting names.
//!
//! Nothing is built or fetched silently.

use std::collections::BTreeMap;

use bollard::Docker;
use logos_scenario_runtime::deployer::DeployError;
use logos_scenario_runtime::plan::{Plan, PlannedNode};

use super::engine::{is_missing, refused};
use crate::env::{BUILD, DEFAULT_IMAGE, DEFAULT_RELAY_IMAGE, IMAGE, RELAY_IMAGE, Settings};
use crate::planned;

/// The name of a node's image.
pub(super) fn of<'a>(node: &'a PlannedNode, settings: &'a Settings) -> &'a str {
    node.image.as_ref().unwrap_or(&settings.image)
}

/// All images of a plan by their names: of each its id, which is the hash of its content.
pub(super) async fn find_all(
    docker: &Docker,
    plan: &Plan,
    settings: &Settings,
) -> Result<BTreeMap<String, String>, DeployError> {
    for node in &plan.nodes {
        planned::refuse_binary(node, "container")?;
    }
    let mut wanted: BTreeMap<_, _> =
        plan.nodes.iter().map(|node| (of(node, settings), (IMAGE, DEFAULT_IMAGE))).collect();
    if plan.relayed {
        wanted.insert(&settings.relay_image, (RELAY_IMAGE, DEFAULT_RELAY_IMAGE));
    }
    let (mut ids, mut missing) = (BTreeMap::new(), Vec::new());
    for (name, setting) in wanted {
        match id(docker, name).await? {
            Some(id) => _ = ids.insert(name.to_owned(), id),
            None => missing.push((name, setting)),
        }
    }
    if missing.is_empty() { Ok(ids) } else { Err(not_there(&missing)) }
}

/// Fails unless there is a node's image.
pub(super) async fn find(
    docker: &Docker,
    node: &PlannedNode,
    settings: &Settings,
) -> Result<(), DeployError> {
    planned::refuse_binary(node, "container")?;
    let name = of(node, settings);
    id(docker, name).await?.map(drop).ok_or_else(|| not_there(&[(name, (IMAGE, DEFAULT_IMAGE))]))
}

/// The id of an image, if the engine has it.
async fn id(docker: &Docker, name: &str) -> Result<Option<String>, DeployError> {
    match docker.inspect_image(name).await {
        Ok(image) => Ok(Some(image.id.unwrap_or_default())),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(refused(&format!("image `{name}`"), "cannot be looked up", &error)),
    }
}

/// Images that the engine lacks, each with the setting that names it and with the name that it has by default.
fn not_there(missing: &[(&str, (&str, &str))]) -> DeployError {
    let names: Vec<_> = missing.iter().map(|(name, _)| format!("image `{name}`")).collect();
    let mut builds: Vec<_> = missing
        .iter()
        .map(|(name, (setting, default))| match name == default {
            true => format!("build it with `{BUILD}`"),
            false => format!("fetch it, or build it with `{setting}={name} {BUILD}`"),
        })
        .collect();
    // One run of it builds both.
    builds.dedup();
    let what = if missing.len() == 1 { "the engine does not have it" } else { "the engine has none of them" };
    DeployError::new(names.join(", "), what, builds.join("; "))
}
