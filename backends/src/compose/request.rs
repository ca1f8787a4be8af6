//! What the engine's API is asked for, made from the model alone.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig, Ipam,
    IpamConfig, Mount, MountType, MountVolumeOptions, NetworkConnectRequest, NetworkCreateRequest,
    NetworkingConfig, PortBinding, VolumeCreateRequest,
};

use super::labels::Project;
use super::model::{Attachment, Network, Service};
use super::render::CONTROL;

/// A network of the project.
pub(super) fn network(project: &Project, name: &str, network: &Network) -> NetworkCreateRequest {
    let subnet = |one: &super::model::Subnet| IpamConfig {
        subnet: Some(one.subnet.to_string()),
        gateway: Some(super::render::gateway(one.subnet).to_string()),
        ..IpamConfig::default()
    };
    NetworkCreateRequest {
        name: project.name(name),
        driver: Some(network.driver.clone()),
        internal: Some(network.internal),
        ipam: Some(Ipam {
            config: Some(network.ipam.config.iter().map(subnet).collect()),
            ..Ipam::default()
        }),
        options: Some(network.driver_opts.clone().into_iter().collect()),
        labels: Some(project.labels([("com.docker.compose.network", name)])),
        ..NetworkCreateRequest::default()
    }
}

/// A volume of the project that no container has.
pub(super) fn volume(project: &Project, name: &str) -> VolumeCreateRequest {
    VolumeCreateRequest {
        name: Some(project.name(name)),
        labels: Some(volume_labels(project, name)),
        ..VolumeCreateRequest::default()
    }
}

fn volume_labels(project: &Project, name: &str) -> HashMap<String, String> {
    project.labels([("com.docker.compose.volume", name)])
}

/// The container of a service, on the control network alone: engines before API 1.44 connect a new container
/// to one network only.
pub(super) fn container(project: &Project, name: &str, service: &Service) -> ContainerCreateBody {
    let env = service.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let control = (project.name(CONTROL), endpoint(name, &service.networks[CONTROL]));
    ContainerCreateBody {
        image: Some(service.image.clone()),
        entrypoint: Some(service.entrypoint.clone()),
        cmd: Some(service.command.clone()),
        env: Some(env.collect()),
        working_dir: Some(service.working_dir.clone()),
        labels: Some(project.service_labels(name)),
        stop_timeout: service.stop_grace_period.strip_suffix('s').and_then(|seconds| seconds.parse().ok()),
        exposed_ports: Some(published(service).map(|(port, _)| port).collect()),
        host_config: Some(host_config(project, service)),
        networking_config: Some(NetworkingConfig { endpoints_config: Some(HashMap::from([control])) }),
        ..ContainerCreateBody::default()
    }
}

fn host_config(project: &Project, service: &Service) -> HostConfig {
    let memory = |bytes| Some(i64::try_from(bytes).unwrap_or(i64::MAX));
    HostConfig {
        network_mode: Some(project.name(CONTROL)),
        readonly_rootfs: Some(service.read_only),
        tmpfs: Some(service.tmpfs.iter().map(|folder| (folder.clone(), String::new())).collect()),
        cap_drop: Some(service.cap_drop.clone()),
        security_opt: Some(service.security_opt.clone()),
        memory: memory(service.mem_limit),
        memory_swap: memory(service.memswap_limit),
        pids_limit: Some(service.pids_limit),
        sysctls: Some(service.sysctls.clone().into_iter().collect()),
        nano_cpus: service.cpus.map(|cores| (cores * 1e9) as i64),
        mounts: Some(service.volumes.iter().filter_map(|volume| mount(project, volume)).collect()),
        log_config: Some(HostConfigLogConfig {
            typ: Some(service.logging.driver.clone()),
            config: Some(service.logging.options.clone().into_iter().collect()),
        }),
        port_bindings: Some(published(service).map(|(port, binding)| (port, Some(vec![binding]))).collect()),
        ..HostConfig::default()
    }
}

/// `<volume>:<path>` as a mount; the volume is made with the container.
fn mount(project: &Project, volume: &str) -> Option<Mount> {
    let (source, target) = volume.split_once(':')?;
    let labels = volume_labels(project, source);
    Some(Mount {
        source: Some(project.name(source)),
        volume_options: Some(MountVolumeOptions { labels: Some(labels), ..MountVolumeOptions::default() }),
        target: Some(target.to_owned()),
        typ: Some(MountType::VOLUME),
        ..Mount::default()
    })
}

fn published(service: &Service) -> impl Iterator<Item = (String, PortBinding)> {
    service.ports.iter().filter_map(|port| loopback_port(port)).map(|(address, number)| {
        let binding = PortBinding { host_ip: Some(address.to_owned()), host_port: Some(String::new()) };
        (format!("{number}/tcp"), binding)
    })
}

/// `<address>::<port>`: a port of the container, published at that address and at a number of the engine's choice.
pub(super) fn loopback_port(port: &str) -> Option<(&str, u16)> {
    let (address, number) = port.split_once("::")?;
    Some((address, number.parse().ok()?))
}

/// The networks of a service that its container is connected to once it is there.
pub(super) fn further_networks(service: &Service) -> impl Iterator<Item = (&str, &Attachment)> {
    let further = service.networks.iter().filter(|(name, _)| *name != CONTROL);
    further.map(|(name, attachment)| (name.as_str(), attachment))
}

/// Connects a container to a network at its address there.
pub(super) fn connection(container: &str, service: &str, attachment: &Attachment) -> NetworkConnectRequest {
    NetworkConnectRequest {
        container: container.to_owned(),
        endpoint_config: Some(endpoint(service, attachment)),
    }
}

fn endpoint(service: &str, attachment: &Attachment) -> EndpointSettings {
    EndpointSettings {
        aliases: Some(vec![service.to_owned()]),
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(attachment.ipv4_address.to_string()),
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    }
}
