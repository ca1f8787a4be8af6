//! What a node becomes in Kubernetes that is planned anew: checked against what its cluster is made of, and written down
//! beside it, before its pod is touched.

use std::path::PathBuf;

use logos_scenario_runtime::deployer::{ClusterError, DeployError};
use logos_scenario_runtime::plan::{Bindings, Plan, PlannedNode};
use serde_json::Value;

use super::HEAD;
use super::files::Files;
use super::labels::Names;
use super::render::{self, Look, Objects, Storage};
use crate::env::Settings;
use crate::planned;

/// What a cluster is made of.
pub(super) struct Anew {
    pub(super) plan: Plan,
    pub(super) bindings: Bindings,
    pub(super) names: Names,
    pub(super) storage: Storage,
    /// Where the objects are written.
    pub(super) directory: PathBuf,
    pub(super) objects: Objects,
    /// How often a node was planned anew.
    pub(super) replanned: usize,
}

impl Anew {
    /// The node's files and its set as they are next.
    pub(super) fn replanned(&mut self, node: &PlannedNode) -> Result<(Value, Value), ClusterError> {
        let (index, node) = self.plan.replanned(node, &self.bindings)?;
        planned::refuse_binary(&node, "pod")?;
        let settings = Settings::get().map_err(DeployError::from)?;
        self.replanned += 1;
        let (names, storage, look) = (&self.names, &self.storage, Look::new(&settings));
        let at = (index, self.replanned);
        let objects = self.objects.replan(at, &node, names, &look, storage, &settings);
        Files::write_objects(&self.directory, &render::to_text(HEAD, self.objects.all()))?;
        Ok(objects)
    }
}
