//! Which image a node's container is made from: what the scenario names for it alone, else what a setting names.
//!
//! Nothing is built or fetched silently.

use std::collections::BTreeMap;

use bollard::Docker;
use logos_scenario_runtime::deployer::DeployError;
use logos_scenario_runtime::plan::{Plan, PlannedNode};

use super::engine::{is_missing, refused};
use crate::env::{BUILD, DEFAULT_IMAGE, DEFAULT_RELAY_IMAGE, IMAGE, RELAY_IMAGE, Settings};

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
    if let Some((node, binary)) = plan.nodes.iter().find_map(|node| Some((node, node.binary.as_ref()?))) {
        return Err(not_in_a_container(node, &binary.display()));
    }
    let mut wanted: BTreeMap<_, _> =
        plan.nodes.iter().map(|node| (of(node, settings), (IMAGE, DEFAULT_IMAGE))).collect();
    if plan.relayed {
        wanted.insert(&settings.relay_image, (RELAY_IMAGE, DEFAULT_RELAY_IMAGE));
    }
    let (mut ids, mut missing) = (BTreeMap::new(), Vec::new());
    for (name, setting) in wanted {
        match docker.inspect_image(name).await {
            Ok(image) => _ = ids.insert(name.to_owned(), image.id.unwrap_or_default()),
            Err(error) if is_missing(&error) => missing.push((name, setting)),
            Err(error) => return Err(refused(&format!("image `{name}`"), "cannot be looked up", &error)),
        }
    }
    if missing.is_empty() { Ok(ids) } else { Err(not_there(&missing)) }
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

fn not_in_a_container(node: &PlannedNode, binary: &impl std::fmt::Display) -> DeployError {
    DeployError::new(
        &node.name,
        format!("its own program `{binary}` is a file of this machine, and no container's"),
        format!("use `with_node(\"{}\", |node| node.image(..))`", node.name),
    )
}
