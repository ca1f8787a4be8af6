//! What a node becomes in containers that is planned anew: checked against what its cluster is made of, and written down
//! beside it, before its container is touched.

use std::path::PathBuf;
use std::sync::Arc;

use bollard::Docker;
use logos_scenario_runtime::deployer::{ClusterError, DeployError};
use logos_scenario_runtime::plan::{Bindings, Plan, PlannedNode};
use tokio::sync::Mutex;

use super::cfgsync::Served;
use super::labels::Project;
use super::model::{Compose, Service};
use super::render::{self, Subnets};
use super::{files, image};
use crate::env::Settings;

/// What a cluster is made of.
#[derive(Debug)]
pub(super) struct Anew {
    pub(super) plan: Plan,
    pub(super) bindings: Bindings,
    pub(super) subnets: Subnets,
    /// Whether ports are published on the loopback address.
    pub(super) publish: bool,
    /// Where the Compose file is.
    pub(super) directory: PathBuf,
    /// What stands in it.
    pub(super) file: Mutex<Compose>,
    /// What is told to nodes that fetch their configuration.
    pub(super) served: Option<Arc<Served>>,
}

impl Anew {
    /// The node as its next container will be.
    pub(super) async fn replanned(
        &self,
        docker: &Docker,
        project: &Project,
        node: &PlannedNode,
    ) -> Result<(PlannedNode, Service), ClusterError> {
        let (index, node) = self.plan.replanned(node, &self.bindings)?;
        let settings = Settings::get().map_err(DeployError::from)?;
        image::find(docker, &node, &settings).await?;
        let refused = |what: String| ClusterError { subject: node.name.clone(), what };
        match &self.served {
            Some(served) => served.replan(&node).map_err(refused)?,
            None if node.fetches.is_some() => {
                let what =
                    "cannot fetch its configuration: nobody serves any, since no node fetched it at first";
                return Err(refused(what.to_owned()));
            }
            None => {}
        }
        let mut file = self.file.lock().await;
        render::add(&mut file, index, &node, &self.subnets, &settings, self.publish);
        let text = render::to_text(&file, project.as_str());
        files::write(&self.directory, &text, std::slice::from_ref(&node))?;
        let service = file.services[&node.name].clone();
        Ok((node, service))
    }
}
