//! The container engine of this machine: how it is reached, and how what a Compose file describes is made
//! and removed through its API.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder, RemoveContainerOptions, RemoveContainerOptionsBuilder,
    RemoveVolumeOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::future::try_join_all;
use logos_scenario_runtime::deployer::{ClusterError, DeployError, Unavailable};
use logos_scenario_runtime::plan::PlannedNode;
use logos_scenario_runtime::wait;

use super::files;
use super::labels::Project;
use super::model::{Network, Service};
use super::render::DIRECTORY;
use super::request;
use crate::env::{DOCKER_HOST, Settings};

/// Where the engine listens if nothing else is said.
const SOCKET: &str = "/var/run/docker.sock";
/// How long the engine may take to say which version it is.
const GREETING: Duration = Duration::from_secs(10);
/// How long the engine may remove nothing of what it was told to remove.
const STANDSTILL: Duration = Duration::from_secs(30);
/// What one request may take, in seconds.
const REQUEST: u64 = 120;

/// The engine's socket, told without touching it.
pub(super) fn socket(settings: &Settings) -> Result<PathBuf, Unavailable> {
    let socket = match settings.docker_host.as_deref() {
        None => Path::new(SOCKET),
        Some(host) => Path::new(host.strip_prefix("unix://").ok_or_else(|| remote(host))?),
    };
    match std::fs::metadata(socket) {
        Ok(_) => {}
        Err(error) => {
            return Err(Unavailable {
                missing: format!(
                    "no container engine: its socket {} cannot be found: {error}",
                    socket.display()
                ),
                try_next: format!("start Docker, or let {DOCKER_HOST} name its socket"),
            });
        }
    }
    #[cfg(unix)]
    if let Err(error) = rustix::fs::access(socket, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)
    {
        return Err(Unavailable {
            missing: format!("the container engine's socket {} may not be used: {error}", socket.display()),
            try_next: "add this user to the socket's group".to_owned(),
        });
    }
    Ok(socket.to_owned())
}

fn remote(host: &str) -> Unavailable {
    Unavailable {
        missing: format!(
            "{DOCKER_HOST} is `{host}`: a remote engine, whose containers' addresses do not answer on this machine"
        ),
        try_next: format!(
            "unset {DOCKER_HOST}, or let it name a socket of this machine, such as unix://{SOCKET}"
        ),
    }
}

/// Connects to the engine and agrees on a version of its API.
pub(super) async fn connect(settings: &Settings) -> Result<Docker, DeployError> {
    let failed = |what: String, try_next: String| DeployError::new("container engine", what, try_next);
    let socket = socket(settings).map_err(|error| failed(error.missing, error.try_next))?;
    let see = || format!("see whether `docker version` answers at unix://{}", socket.display());
    let docker = Docker::connect_with_unix(&socket.display().to_string(), REQUEST, API_DEFAULT_VERSION)
        .map_err(|error| failed(said(&error), see()))?;
    match tokio::time::timeout(GREETING, docker.negotiate_version()).await {
        Ok(Ok(docker)) => Ok(docker),
        Ok(Err(error)) => Err(failed(format!("does not work: {}", said(&error)), see())),
        Err(_) => Err(failed(format!("did not answer within {} s", GREETING.as_secs()), see())),
    }
}

/// What the engine said, without the client's words around it, or why it said nothing.
pub(super) fn said(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        error => {
            let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
            causes.last().unwrap_or(error).to_string()
        }
    }
}

/// Whether the engine said that there is no such thing.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// An error about one part of a cluster.
pub(super) fn refused(subject: &str, doing: &str, error: &Error) -> DeployError {
    DeployError::new(
        subject.to_owned(),
        format!("{doing}: {}", said(error)),
        "read what the engine says; `docker info` shows what it has",
    )
}

/// Makes a network, unless its addresses are somebody's already.
pub(super) async fn create_network(
    docker: &Docker,
    project: &Project,
    name: &str,
    network: &Network,
) -> Result<bool, DeployError> {
    match docker.create_network(request::network(project, name, network)).await {
        Ok(_) => Ok(true),
        Err(error) if said(&error).contains("overlaps with other one") => Ok(false),
        Err(error) => Err(refused(&project.name(name), "cannot be made", &error)),
    }
}

/// Makes a node's container, and with it its volume, with the node's files in it.
pub(super) async fn create(
    docker: &Docker,
    project: &Project,
    node: &PlannedNode,
    service: &Service,
) -> Result<(), DeployError> {
    let name = node.name.as_str();
    let container = create_container(docker, project, name, service).await?;
    let options = UploadToContainerOptionsBuilder::default().path(DIRECTORY).build();
    docker
        .upload_to_container(&container, Some(options), bollard::body_full(files::archive(node).into()))
        .await
        .map_err(|error| refused(name, "its files cannot be put into its volume", &error))
}

/// Makes the container of a service, connected to all its networks; its name.
pub(super) async fn create_container(
    docker: &Docker,
    project: &Project,
    name: &str,
    service: &Service,
) -> Result<String, DeployError> {
    let failed = |doing: &'static str| move |error: Error| refused(name, doing, &error);
    let container = project.container(name);
    let options = CreateContainerOptionsBuilder::default().name(&container).build();
    docker
        .create_container(Some(options), request::container(project, name, service))
        .await
        .map_err(failed("its container cannot be made"))?;
    for (network, attachment) in request::further_networks(service) {
        docker
            .connect_network(&project.name(network), request::connection(&container, name, attachment))
            .await
            .map_err(failed("it cannot be connected to its peers' network"))?;
    }
    Ok(container)
}

/// Removes a container that does not run, and leaves its volume.
pub(super) async fn remove_container(docker: &Docker, container: &str) -> Result<(), Error> {
    unless_missing(docker.remove_container(container, None::<RemoveContainerOptions>)).await
}

/// What of one cluster, or of all, an engine has.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) containers: Vec<Labelled>,
    pub(super) networks: Vec<Labelled>,
    pub(super) volumes: Vec<Labelled>,
}

/// A thing of the engine's with its labels.
#[derive(Debug)]
pub(super) struct Labelled {
    pub(super) id: String,
    pub(super) labels: HashMap<String, String>,
}

impl Found {
    pub(super) fn all(&self) -> impl Iterator<Item = &Labelled> {
        self.containers.iter().chain(&self.networks).chain(&self.volumes)
    }

    /// How many of each: `3 containers, 2 networks, 3 volumes`.
    pub(super) fn counts(&self) -> String {
        let counts = [
            (self.containers.len(), "containers"),
            (self.networks.len(), "networks"),
            (self.volumes.len(), "volumes"),
        ];
        let named =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}"));
        named.collect::<Vec<_>>().join(", ")
    }
}

/// Everything that has a label, given as `name` or `name=value`.
pub(super) async fn labelled(docker: &Docker, label: &str) -> Result<Found, Error> {
    let filter = HashMap::from([("label", vec![label])]);
    let containers = ListContainersOptionsBuilder::default().all(true).filters(&filter).build();
    let networks = ListNetworksOptionsBuilder::default().filters(&filter).build();
    let volumes = ListVolumesOptionsBuilder::default().filters(&filter).build();
    let (containers, networks, volumes) = tokio::try_join!(
        docker.list_containers(Some(containers)),
        docker.list_networks(Some(networks)),
        docker.list_volumes(Some(volumes)),
    )?;
    let found = |id: Option<String>, labels: Option<HashMap<String, String>>| {
        Some(Labelled { id: id?, labels: labels.unwrap_or_default() })
    };
    Ok(Found {
        containers: containers.into_iter().filter_map(|one| found(one.id, one.labels)).collect(),
        networks: networks.into_iter().filter_map(|one| found(one.id, one.labels)).collect(),
        volumes: volumes
            .volumes
            .unwrap_or_default()
            .into_iter()
            .filter_map(|one| found(Some(one.name), Some(one.labels)))
            .collect(),
    })
}

/// Removes everything that has a label, and returns when the engine has none of it any more, or gets nowhere.
pub(super) async fn remove(docker: &Docker, label: &str) -> Result<(), ClusterError> {
    let gone = || async {
        remove_once(docker, label).await.map_err(|error| said(&error))?;
        let left = labelled(docker, label).await.map_err(|error| said(&error))?;
        if left.all().next().is_none() { Ok(()) } else { Err(format!("there are still {}", left.counts())) }
    };
    let mut before = usize::MAX;
    loop {
        let Err(timed_out) = wait::until("all of the cluster to be removed", STANDSTILL, gone).await else {
            return Ok(());
        };
        // A busy engine takes its time; one that gets nowhere is not asked for ever.
        let left = labelled(docker, label).await.map_or(before, |found| found.all().count());
        if left >= before {
            return Err(ClusterError { subject: "cluster".to_owned(), what: timed_out.to_string() });
        }
        before = left;
    }
}

/// Containers hold networks and volumes, so they go first.
async fn remove_once(docker: &Docker, label: &str) -> Result<(), Error> {
    let found = labelled(docker, label).await?;
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let containers =
        found.containers.iter().map(|one| docker.remove_container(&one.id, Some(options.clone())));
    try_join_all(containers.map(unless_missing)).await?;
    let networks = found.networks.iter().map(|one| docker.remove_network(&one.id));
    let options = RemoveVolumeOptionsBuilder::default().force(true).build();
    let volumes = found.volumes.iter().map(|one| docker.remove_volume(&one.id, Some(options.clone())));
    tokio::try_join!(try_join_all(networks.map(unless_missing)), try_join_all(volumes.map(unless_missing)),)?;
    Ok(())
}

/// Somebody else may have removed it meanwhile, or be about to.
async fn unless_missing(removal: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    match removal.await {
        Err(error) if is_missing(&error) || said(&error).contains("is already in progress") => Ok(()),
        result => result,
    }
}
