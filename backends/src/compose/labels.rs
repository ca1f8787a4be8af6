//! Names and labels: by these, a cluster is found again by its owner, by Compose's own tools, and by whoever
//! sweeps up after an owner that is gone.

use std::collections::HashMap;

use logos_scenario_runtime::deployer::Placement;

use crate::owner::Owner;
pub(super) use crate::owner::now;

/// Names the cluster.
pub(super) const CLUSTER: &str = "logos-scenario.cluster";
/// Names the process that made it, see [`Owner`].
pub(super) const OWNER: &str = "logos-scenario.owner";
/// The last time the owner was seen alive, in seconds since 1970: of all that a cluster has, the greatest counts.
pub(super) const HEARTBEAT: &str = "logos-scenario.heartbeat";

/// One cluster in the engine: what Compose calls a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Project {
    name: String,
    /// Labels of all that belongs to it.
    labels: HashMap<String, String>,
    /// Where its Compose file is.
    directory: String,
}

impl Project {
    /// A project of this process's, whose random number nobody else has.
    pub(super) fn new(number: u32, key: &str, place: &Placement) -> Self {
        let name = format!("logos-scenario-{number:08x}");
        let given =
            place.labels.iter().map(|(label, value)| (format!("logos-scenario.{label}"), value.clone()));
        let mut labels: HashMap<_, _> = given.collect();
        labels.insert(CLUSTER.to_owned(), name.clone());
        labels.insert(OWNER.to_owned(), Owner::this().to_string());
        labels.insert("logos-scenario.key".to_owned(), key.to_owned());
        labels.insert("com.docker.compose.project".to_owned(), name.clone());
        Self { name, labels, directory: place.directory.display().to_string() }
    }

    /// The filter that finds all that belongs to the project.
    pub(super) fn filter(&self) -> String {
        format!("{CLUSTER}={}", self.name)
    }

    /// The project's own name, for people.
    pub(super) fn as_str(&self) -> &str {
        &self.name
    }

    /// What the engine calls a network or volume of the project.
    pub(super) fn name(&self, of: &str) -> String {
        format!("{}_{of}", self.name)
    }

    /// What the engine calls the container of a service.
    pub(super) fn container(&self, service: &str) -> String {
        format!("{}_{service}_1", self.name)
    }

    /// Labels of all that belongs to the project, together with `further`.
    pub(super) fn labels<'a>(
        &self,
        further: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> HashMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(HEARTBEAT.to_owned(), now().to_string());
        labels.extend(further.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())));
        labels
    }

    /// Labels by which Compose's tools know a service's container.
    pub(super) fn service_labels(&self, service: &str) -> HashMap<String, String> {
        let file = format!("{}/docker-compose.yml", self.directory);
        self.labels([
            ("com.docker.compose.service", service),
            ("com.docker.compose.container-number", "1"),
            ("com.docker.compose.oneoff", "False"),
            // Without one, Compose 2 takes no container for a service's; `up` would compare it with that of its file.
            ("com.docker.compose.config-hash", "made-through-the-api"),
            ("com.docker.compose.project.working_dir", &self.directory),
            ("com.docker.compose.project.config_files", &file),
        ])
    }
}
