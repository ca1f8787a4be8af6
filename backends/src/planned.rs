//! What a planned node becomes wherever it runs: texts without symbols, an environment, addresses.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use logos_scenario_runtime::deployer::{ClusterDescription, DeployError, Placement};
use logos_scenario_runtime::plan::{Bindings, Plan, PlannedNode};

use crate::env::{LOG_FILTER, LOG_LEVEL, Settings};

/// The plan with every symbol replaced.
pub(crate) fn render(plan: &Plan, bindings: &Bindings) -> Result<Vec<PlannedNode>, DeployError> {
    plan.render(bindings).map_err(|error| {
        DeployError::new(
            error.node.clone(),
            error.to_string(),
            "use the symbols of `plan::symbol` in the node program's texts",
        )
    })
}

/// Refuses a plan with more nodes than such a cluster has.
pub(crate) fn at_most(most: usize, plan: &Plan, cluster: &str) -> Result<(), DeployError> {
    let count = plan.nodes.len();
    if count <= most {
        return Ok(());
    }
    Err(DeployError::new(
        "cluster",
        format!("has {count} nodes, but {cluster} has at most {most}"),
        "give the scenario fewer nodes, or another backend",
    ))
}

/// Writes a file of the cluster's, with the folders above it. Nodes' keys may be in it, so that nobody but this user
/// can reach it.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), DeployError> {
    write_as(0o600, path, text)
}

/// The same for a file that any user of a container may read once it is mounted there. Its folders keep others out.
#[cfg(feature = "compose")]
pub(crate) fn write_for_containers(path: &Path, text: &str) -> Result<(), DeployError> {
    write_as(0o644, path, text)
}

fn write_as(mode: u32, path: &Path, text: &str) -> Result<(), DeployError> {
    path.parent().map_or(Ok(()), make_folder)?;
    let file = fs::File::options().create(true).write(true).truncate(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| unwritable(path, &error))
}

/// Makes a folder of the cluster's that only this user can look into, with those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), DeployError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| unwritable(path, &error))
}

/// A file or folder of the cluster's that cannot be.
pub(crate) fn unwritable(path: &Path, error: &io::Error) -> DeployError {
    DeployError::new(
        path.display().to_string(),
        format!("cannot be written: {error}"),
        "make room on the disk, or make the folder writable",
    )
}

/// Rounded up, since configurations have no more digits.
pub(crate) fn to_whole_milliseconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = since.as_nanos().div_ceil(1_000_000);
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// What the plan names, and what settings hand to nodes where it does not name them.
pub(crate) fn environment(node: &PlannedNode, settings: &Settings) -> BTreeMap<String, String> {
    let logs = [(LOG_LEVEL, &settings.log_level), (LOG_FILTER, &settings.log_filter)];
    let logs = logs.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let handed = settings.handed.iter().map(|(name, value)| (*name, value)).chain(logs);
    let mut env: BTreeMap<_, _> = handed.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    env.extend(node.env.clone());
    env
}

/// Fails if a node is to run a program of this machine, which nodes in a container or a pod, by that word, do not have.
#[cfg(any(feature = "compose", feature = "k8s"))]
pub(crate) fn refuse_binary(node: &PlannedNode, within: &str) -> Result<(), DeployError> {
    let Some(binary) = &node.binary else { return Ok(()) };
    Err(DeployError::new(
        &node.name,
        format!("its own program `{}` is a file of this machine, and no {within}'s", binary.display()),
        format!("use `with_node(\"{}\", |node| node.image(..))`", node.name),
    ))
}

/// Where nodes' logs go: beside the rest, or into a folder of this cluster's own in `NOMOS_LOG_DIR`.
pub(crate) fn log_directory(place: &Placement, settings: &Settings) -> PathBuf {
    let Some(directory) = &settings.log_dir else { return place.directory.clone() };
    let parts = place.directory.components().rev().take(3).map(|part| part.as_os_str().to_owned());
    let parts: Vec<_> = parts.collect();
    parts.iter().rev().fold(directory.clone(), |path, part| path.join(Path::new(part)))
}

/// What the users of a cluster are told of it: each node's log is `<name>.log` in `logs`.
pub(crate) fn description(plan: &Plan, bindings: &Bindings, logs: &Path) -> ClusterDescription {
    ClusterDescription::new(plan, bindings, |node| logs.join(format!("{}.log", node.name)))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::{Value, json};

    use super::*;

    /// A plan of `validator-0` and `executor-0`, each with these fields in place of what all nodes have, by its name.
    pub(crate) fn two_nodes(fields: impl Fn(&str) -> Value) -> Plan {
        let node = |role: &str| {
            let name = format!("{role}-0");
            let mut node = json!({
                "name": name,
                "role": role,
                "executable": { "program": "node", "path": "/on/the/host" },
                "args": ["${directory}/config.yaml"],
                "env": {},
                "files": [],
                "ports": [
                    { "name": "http", "protocol": "tcp", "number": 18080 },
                    { "name": "p2p", "protocol": "udp", "number": 3000 },
                ],
            });
            let fields = fields(&name).as_object().cloned().unwrap_or_default();
            node.as_object_mut().unwrap().extend(fields);
            node
        };
        serde_json::from_value(json!({
            "key": "00".repeat(32),
            "genesis": { "leaders": [], "accounts": [] },
            "nodes": [node("validator"), node("executor")],
        }))
        .unwrap()
    }

    #[test]
    fn nobody_else_can_read_what_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nodes/validator-0/config.yaml");
        write(&path, "secret: 1").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret: 1");
    }
}
