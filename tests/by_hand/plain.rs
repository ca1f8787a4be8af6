//! A backend of one's own in sixty lines: plain child processes, which nobody controls.

use std::fs;
use std::io::{Error, ErrorKind, Result as Io};
use std::path::Path;
use std::time::Duration;

use logos_scenario::deployer::*;
use logos_scenario::plan::{Binding, Bindings, Plan, PlannedNode};
use logos_scenario::wait;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

pub(crate) struct Plain;

pub(crate) struct PlainCluster(ClusterDescription, Mutex<Vec<Child>>);

impl Deployer for Plain {
    type Cluster = PlainCluster;

    fn name(&self) -> &str {
        "plain"
    }

    async fn provision(&self, plan: &Plan, place: &Placement) -> Result<PlainCluster, DeployError> {
        let bindings = Bindings::new(plan, |index, node| {
            Binding::new(format!("127.0.77.{}", 10 + index), node, place.directory.join(&node.name))
        });
        let start = |node: &PlannedNode| started(node, &bindings.nodes[&node.name].directory);
        let nodes = plan.render(&bindings).map_err(Error::other);
        let children = nodes.and_then(|nodes| nodes.iter().map(start).collect());
        let children =
            children.map_err(|error: Error| DeployError::new("plain", error, "run a node by hand"))?;
        let log = |node: &PlannedNode| place.directory.join(format!("{}.log", node.name));
        Ok(PlainCluster(ClusterDescription::new(plan, &bindings, log), Mutex::new(children)))
    }
}

fn started(node: &PlannedNode, directory: &Path) -> Io<Child> {
    fs::create_dir_all(directory)?;
    node.files.iter().try_for_each(|file| fs::write(directory.join(&file.path), &file.text))?;
    let log = fs::File::create(directory.with_extension("log"))?;
    #[expect(clippy::disallowed_methods, reason = "this is a backend, and its nodes are processes")]
    let mut command = Command::new(node.executable.path.as_ref().ok_or(ErrorKind::NotFound)?);
    command.args(&node.args).env_clear().envs(&node.env).kill_on_drop(true);
    command.stdout(log.try_clone()?).stderr(log).spawn()
}

impl Cluster for PlainCluster {
    fn description(&self) -> &ClusterDescription {
        &self.0
    }

    async fn states(&self, newer_than: u64) -> Result<States, ClusterError> {
        let look = async || {
            let mut states = States { version: 1, ..States::default() };
            for (node, child) in self.0.nodes.iter().zip(&mut *self.1.lock().await) {
                let exit = child.try_wait().ok().flatten();
                states.version += u64::from(exit.is_some());
                let status = exit.map_or(NodeStatus::Running, |exit| NodeStatus::Exited(exit.to_string()));
                states.nodes.push(NodeState { name: node.name.clone(), status, starts: 1, starts_by_us: 1 });
            }
            if states.version > newer_than { Ok(states) } else { Err("no change") }
        };
        let changed = wait::until("a change", Duration::from_secs(86_400), look).await;
        changed.map_err(|error| ClusterError { subject: "cluster".to_owned(), what: error.to_string() })
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        let log = self.0.nodes.iter().find(|other| other.name == node).map(|node| fs::read(&node.log));
        Ok(Log::part(&log.and_then(Result::ok).unwrap_or_default(), part))
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        self.1.lock().await.clear();
        Ok(())
    }
}
