//! A Compose file as types: the part of the Compose specification that a cluster needs, in the form that
//! both `docker compose` and `docker-compose` 1.29 read.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// A whole Compose file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Compose {
    pub(super) services: BTreeMap<String, Service>,
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) volumes: BTreeMap<String, Volume>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) secrets: BTreeMap<String, Secret>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Service {
    pub(super) image: String,
    pub(super) entrypoint: Vec<String>,
    pub(super) command: Vec<String>,
    pub(super) working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) environment: BTreeMap<String, String>,
    pub(super) networks: BTreeMap<String, Attachment>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ports: Vec<String>,
    /// `<volume>:<path>`.
    pub(super) volumes: Vec<String>,
    /// The node's files. The Compose tool mounts them; the engine's API puts them into the volume.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) secrets: Vec<SecretUse>,
    pub(super) restart: String,
    pub(super) read_only: bool,
    /// Folders in memory, for what a node writes beside its directory.
    pub(super) tmpfs: Vec<String>,
    pub(super) cap_drop: Vec<String>,
    pub(super) security_opt: Vec<String>,
    /// In bytes.
    pub(super) mem_limit: u64,
    /// Memory and swap, in bytes.
    pub(super) memswap_limit: u64,
    pub(super) pids_limit: i64,
    /// Settings of the kernel for this container.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) sysctls: BTreeMap<String, String>,
    /// In cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpus: Option<f64>,
    pub(super) stop_grace_period: String,
    pub(super) logging: Logging,
}

/// A service's place in a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attachment {
    pub(super) ipv4_address: Ipv4Addr,
}

/// Where a service sees a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretUse {
    pub(super) source: String,
    pub(super) target: String,
}

/// Where the engine keeps what a service prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Logging {
    pub(super) driver: String,
    pub(super) options: BTreeMap<String, String>,
}

/// A network of the cluster's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Network {
    pub(super) driver: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) driver_opts: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) internal: bool,
    pub(super) ipam: Ipam,
}

/// The addresses of a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ipam {
    pub(super) config: Vec<Subnet>,
}

/// A range of addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subnet {
    pub(super) subnet: Ipv4Net,
}

/// A volume of the cluster's own; there is nothing to say of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Volume {}

/// A file beside the Compose file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    pub(super) file: String,
}

impl Compose {
    /// Reads a Compose file.
    pub(super) fn from_yaml(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    /// Writes a Compose file. Compose replaces what follows a dollar sign, so each is doubled.
    pub(super) fn to_yaml(&self) -> String {
        let mut file = self.clone();
        for service in file.services.values_mut() {
            let words = service.entrypoint.iter_mut().chain(&mut service.command);
            for text in words.chain(service.environment.values_mut()) {
                *text = text.replace('$', "$$");
            }
        }
        serde_saphyr::to_string(&file).expect("a Compose file is plain data")
    }
}
