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
    let mut ids = BTreeMap::new();
    for node in &plan.nodes {
        let name = of(node, settings);
        if let Some(binary) = &node.binary {
            return Err(not_in_a_container(node, &binary.display()));
        }
        if !ids.contains_key(name) {
            ids.insert(name.to_owned(), id(docker, name, (IMAGE, DEFAULT_IMAGE)).await?);
        }
    }
    if plan.relayed {
        let name = &settings.relay_image;
        ids.insert(name.clone(), id(docker, name, (RELAY_IMAGE, DEFAULT_RELAY_IMAGE)).await?);
    }
    Ok(ids)
}

/// The id of an image, which a setting names or which has the name that it has by default.
async fn id(docker: &Docker, name: &str, (setting, default): (&str, &str)) -> Result<String, DeployError> {
    match docker.inspect_image(name).await {
        Ok(image) => Ok(image.id.unwrap_or_default()),
        Err(error) if is_missing(&error) => Err(DeployError::new(
            format!("image `{name}`"),
            "the engine does not have it",
            match name == default {
                true => format!("build it with `{BUILD}`"),
                false => format!("fetch it, or build it with `{setting}={name} {BUILD}`"),
            },
        )),
        Err(error) => Err(refused(&format!("image `{name}`"), "cannot be looked up", &error)),
    }
}

fn not_in_a_container(node: &PlannedNode, binary: &impl std::fmt::Display) -> DeployError {
    DeployError::new(
        &node.name,
        format!("its own program `{binary}` is a file of this machine, and no container's"),
        format!("use `with_node(\"{}\", |node| node.image(..))`", node.name),
    )
}
