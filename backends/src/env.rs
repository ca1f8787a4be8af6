//! The settings of the backends: read once from the environment, typed, listed in one table.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::LazyLock;

use ipnet::Ipv4Net;
use logos_scenario_runtime::deployer::DeployError;
#[cfg(any(feature = "compose", feature = "k8s"))]
use logos_scenario_runtime::deployer::Unavailable;
pub use logos_scenario_runtime::env::{Setting, flag, is_required};
use logos_scenario_runtime::failure::Problem;

/// Every setting of this crate.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: NODE_BIN,
        default: "the node program's own path, then `PATH`",
        meaning: "executable of validators on the local backend",
    },
    Setting {
        name: EXECUTOR_BIN,
        default: "the node program's own path, then `PATH`",
        meaning: "executable of executors on the local backend",
    },
    Setting {
        name: LOG_DIR,
        default: "the cluster's directory",
        meaning: "directory for nodes' logs; each cluster has a folder of its own in it",
    },
    Setting {
        name: LOG_LEVEL,
        default: "the node's own",
        meaning: "handed to nodes: `off`, `error`, `warn`, `info`, `debug` or `trace`",
    },
    Setting { name: LOG_FILTER, default: "the node's own", meaning: "handed to nodes as it is" },
    Setting {
        name: TRACING,
        default: "off",
        meaning: "nodes log at level `debug` where `NOMOS_LOG_LEVEL` gives no other; their logs are kept in any case",
    },
    Setting {
        name: HANDED[0],
        default: "none",
        meaning: "handed to nodes: prove leadership in development mode",
    },
    Setting {
        name: HANDED[1],
        default: "none",
        meaning: "handed to nodes: where they send traces, by OTLP over HTTP; a loopback address is this machine's, also for containers and pods",
    },
    Setting {
        name: HANDED[2],
        default: "none",
        meaning: "handed to nodes: where they send metrics, likewise",
    },
    Setting {
        name: HANDED[3],
        default: "none",
        meaning: "handed to nodes: where metrics are taken in over OTLP, likewise; the in-tree node sends them there where it has no `NOMOS_OTLP_METRICS_ENDPOINT`",
    },
    Setting {
        name: HOST_PATHS[0],
        default: "none",
        meaning: "handed to local nodes: folder of the circuits",
    },
    Setting {
        name: HOST_PATHS[1],
        default: "none",
        meaning: "handed to local nodes: file of the KZG parameters",
    },
    Setting { name: IMAGE, default: DEFAULT_IMAGE, meaning: "image of nodes in containers" },
    Setting {
        name: RELAY_IMAGE,
        default: DEFAULT_RELAY_IMAGE,
        meaning: "image of the relay between nodes in containers, of scenarios that declare `faults`",
    },
    Setting {
        name: DOCKER_HOST,
        default: "unix:///var/run/docker.sock",
        meaning: "socket of the container engine, which must be on this machine",
    },
    Setting {
        name: SUBNETS,
        default: "10.144.0.0/12",
        meaning: "addresses of which each cluster of containers takes two /24 networks, with `faults` one and one for each node",
    },
    Setting { name: NODE_MEMORY, default: "1g", meaning: "memory of one node in a container: `512m`, `2g`" },
    Setting { name: NODE_CPUS, default: "no limit", meaning: "cores of one node in a container: `0.5`" },
    Setting { name: KUBECONFIG, default: "~/.kube/config", meaning: "how Kubernetes clusters are reached" },
    Setting {
        name: KUBE_CONTEXT,
        default: "the kubeconfig's current one",
        meaning: "kubeconfig context of the k8s backend",
    },
    Setting {
        name: KUBE_ALLOW,
        default: "none",
        meaning: "a kubeconfig context to be used although its name is not that of a test cluster",
    },
    Setting {
        name: PULL_POLICY,
        default: "IfNotPresent",
        meaning: "when pods pull their image: `Always`, `IfNotPresent` or `Never`",
    },
    Setting {
        name: STORAGE_CLASS,
        default: "the cluster's default, else folders of its machines",
        meaning: "storage class of the data of nodes in pods",
    },
    Setting {
        name: NODE_HOST,
        default: "none: nodes are reached by port-forward",
        meaning: "address of a machine of the Kubernetes cluster, to reach nodes there by NodePort",
    },
];

pub(crate) const NODE_BIN: &str = "NOMOS_NODE_BIN";
pub(crate) const EXECUTOR_BIN: &str = "NOMOS_EXECUTOR_BIN";
pub(crate) const LOG_DIR: &str = "NOMOS_LOG_DIR";
pub(crate) const LOG_LEVEL: &str = "NOMOS_LOG_LEVEL";
pub(crate) const LOG_FILTER: &str = "NOMOS_LOG_FILTER";
const TRACING: &str = "NOMOS_TESTS_TRACING";
/// What nodes are told as it is, wherever they run.
const HANDED: [&str; 4] = [
    "POL_PROOF_DEV_MODE",
    "NOMOS_OTLP_ENDPOINT",
    "NOMOS_OTLP_METRICS_ENDPOINT",
    "NOMOS_METRICS_OTLP_INGEST_URL",
];
/// Those of them that are URLs of collectors.
#[cfg(any(feature = "compose", feature = "k8s"))]
pub(crate) const COLLECTORS: &[&str] = HANDED.split_at(1).1;
/// Places on this machine, which nodes elsewhere do not have.
const HOST_PATHS: [&str; 2] = ["NOMOS_CIRCUITS", "NOMOS_KZGRS_PARAMS_PATH"];
pub(crate) const IMAGE: &str = "NOMOS_TESTNET_IMAGE";
pub(crate) const RELAY_IMAGE: &str = "SCENARIO_RELAY_IMAGE";
pub(crate) const DOCKER_HOST: &str = "DOCKER_HOST";
pub(crate) const SUBNETS: &str = "SCENARIO_SUBNETS";
/// Says to a program that it is the watcher of the process that started it, and of which backend. Nobody sets it
/// by hand.
#[cfg(any(feature = "compose", feature = "k8s"))]
pub(crate) const WATCH: &str = "LOGOS_SCENARIO_WATCHER";
pub(crate) const NODE_MEMORY: &str = "SCENARIO_NODE_MEMORY";
pub(crate) const NODE_CPUS: &str = "SCENARIO_NODE_CPUS";

pub(crate) const KUBECONFIG: &str = "KUBECONFIG";
pub(crate) const KUBE_CONTEXT: &str = "SCENARIO_KUBE_CONTEXT";
pub(crate) const KUBE_ALLOW: &str = "SCENARIO_KUBE_ALLOW";
pub(crate) const PULL_POLICY: &str = "NOMOS_TESTNET_IMAGE_PULL_POLICY";
pub(crate) const STORAGE_CLASS: &str = "SCENARIO_KUBE_STORAGE_CLASS";
pub(crate) const NODE_HOST: &str = "K8S_RUNNER_NODE_HOST";

/// What builds the images of containers.
#[cfg(any(feature = "compose", feature = "k8s"))]
pub(crate) const BUILD: &str = "scripts/build/build-test-image.sh";
/// The image of the in-tree node.
pub(crate) const DEFAULT_IMAGE: &str = "logos-scenario-node:local";
/// The image of the relay of this repository.
pub(crate) const DEFAULT_RELAY_IMAGE: &str = "logos-scenario-relay:local";

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The settings' values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) node_bin: Option<PathBuf>,
    pub(crate) executor_bin: Option<PathBuf>,
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) log_level: Option<String>,
    pub(crate) log_filter: Option<String>,
    /// Variables for every node.
    pub(crate) handed: BTreeMap<&'static str, String>,
    /// Variables for nodes on this machine.
    pub(crate) host_paths: BTreeMap<&'static str, String>,
    /// `PATH`, where programs are looked for last.
    pub(crate) path: Option<OsString>,
    /// Where nextest has the workspace's programs, by their names: elsewhere than cargo built them, where it runs
    /// an archive.
    pub(crate) archived: BTreeMap<OsString, PathBuf>,
    pub(crate) image: String,
    pub(crate) relay_image: String,
    pub(crate) docker_host: Option<String>,
    /// At least two networks of 256 addresses.
    pub(crate) subnets: Ipv4Net,
    /// In bytes.
    pub(crate) node_memory: u64,
    /// In cores.
    pub(crate) node_cpus: Option<f64>,
    /// Read by the Kubernetes client itself; here, so that who differs in it shares no clusters.
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) kube_context: Option<String>,
    pub(crate) kube_allow: Option<String>,
    pub(crate) pull_policy: String,
    pub(crate) storage_class: Option<String>,
    pub(crate) node_host: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_bin: None,
            executor_bin: None,
            log_dir: None,
            log_level: None,
            log_filter: None,
            handed: BTreeMap::new(),
            host_paths: BTreeMap::new(),
            path: None,
            archived: BTreeMap::new(),
            image: DEFAULT_IMAGE.to_owned(),
            relay_image: DEFAULT_RELAY_IMAGE.to_owned(),
            docker_host: None,
            subnets: Ipv4Net::new_assert(Ipv4Addr::new(10, 144, 0, 0), 12),
            node_memory: 1 << 30,
            node_cpus: None,
            kubeconfig: None,
            kube_context: None,
            kube_allow: None,
            pull_policy: PULL_POLICIES[1].to_owned(),
            storage_class: None,
            node_host: None,
        }
    }
}

/// All settings, of the runtime and of the backends, whose values mean nothing.
///
/// # Errors
///
/// Each bad value with the accepted ones.
pub fn check() -> Result<(), Vec<Problem>> {
    let of_runtime = logos_scenario_runtime::env::check().err().unwrap_or_default();
    let own = Settings::get().err().map(|BadSettings(bad)| bad).unwrap_or_default();
    let problems = [of_runtime, &own.into_iter().map(Problem::from).collect::<Vec<_>>()].concat();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A setting with a value that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BadSetting {
    name: String,
    value: String,
    expected: String,
}

impl From<BadSetting> for Problem {
    fn from(BadSetting { name, value, expected }: BadSetting) -> Self {
        Self::new(name, format!("`{value}`, expected {expected}"), MEND)
    }
}

/// All such settings: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadSettings(Vec<BadSetting>);

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |BadSetting { name, value, expected }: &BadSetting| {
            format!("{name} is `{value}`, expected {expected}")
        };
        f.write_str(&self.0.iter().map(told).collect::<Vec<_>>().join("; "))
    }
}

#[cfg(any(feature = "compose", feature = "k8s"))]
impl From<BadSettings> for Unavailable {
    fn from(error: BadSettings) -> Self {
        Self { missing: error.to_string(), try_next: MEND.to_owned() }
    }
}

impl From<BadSettings> for DeployError {
    fn from(error: BadSettings) -> Self {
        Self::new("settings", error.to_string(), MEND)
    }
}

/// What to try where settings are bad.
const MEND: &str = "unset it or give it such a value";

/// Reads variables, and notes those whose values mean nothing.
struct Reader<V> {
    variable: V,
    bad: RefCell<Vec<BadSetting>>,
}

impl<V: Fn(&str) -> Option<OsString>> Reader<V> {
    fn given(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        let read = self.given(name)?.into_string();
        read.map_err(|value| self.note(name, &value.to_string_lossy(), "UTF-8")).ok()
    }

    /// The value of a setting that is given, as `parse` reads it.
    fn parsed<T>(&self, name: &str, parse: impl FnOnce(&str) -> Option<T>, expected: &str) -> Option<T> {
        let value = self.text(name)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.note(name, &value, expected);
        }
        parsed
    }

    fn all(&self, names: &[&'static str]) -> BTreeMap<&'static str, String> {
        names.iter().filter_map(|name| Some((*name, self.text(name)?))).collect()
    }

    fn note(&self, name: &str, value: &str, expected: &str) {
        let [name, value, expected] = [name, value, expected].map(str::to_owned);
        self.bad.borrow_mut().push(BadSetting { name, value, expected });
    }
}

impl Settings {
    /// What the environment held when it was first asked for.
    pub(crate) fn get() -> Result<Self, BadSettings> {
        static SETTINGS: LazyLock<Result<Settings, BadSettings>> = LazyLock::new(|| {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place of this crate that reads the environment"
            )]
            let settings = Settings::read(|name| std::env::var_os(name))?;
            Ok(Settings { archived: archived(std::env::vars_os()), ..settings })
        });
        SETTINGS.clone()
    }

    /// What programs must have in common for one to make the clusters of the other: this crate's sources and all
    /// settings.
    pub(crate) fn fingerprint() -> String {
        format!("{} {:?}", env!("SCENARIO_SOURCES"), Self::get())
    }

    fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, BadSettings> {
        let read = Reader { variable, bad: RefCell::default() };
        let defaults = Self::default();
        let traces = read.parsed(TRACING, flag, "1/true/yes/on or 0/false/no/off");
        let levels = format!("one of {}", LOG_LEVELS.join(", "));
        let level = read.parsed(LOG_LEVEL, log_level, &levels);
        let settings = Self {
            node_bin: read.given(NODE_BIN).map(PathBuf::from),
            executor_bin: read.given(EXECUTOR_BIN).map(PathBuf::from),
            log_dir: read.given(LOG_DIR).map(PathBuf::from),
            log_level: level.or(traces.and_then(|on| on.then(|| "debug".to_owned()))),
            log_filter: read.text(LOG_FILTER),
            handed: read.all(&HANDED),
            host_paths: read.all(&HOST_PATHS),
            path: read.given("PATH"),
            archived: BTreeMap::new(),
            image: read.text(IMAGE).unwrap_or(defaults.image),
            relay_image: read.text(RELAY_IMAGE).unwrap_or(defaults.relay_image),
            docker_host: read.parsed(
                DOCKER_HOST,
                |host| host.contains("://").then(|| host.to_owned()),
                "`unix://` and the path of a socket, such as unix:///var/run/docker.sock",
            ),
            subnets: read
                .parsed(SUBNETS, subnets, "a network such as 10.144.0.0/12, of /23 or larger")
                .unwrap_or(defaults.subnets),
            node_memory: read
                .parsed(NODE_MEMORY, memory, "a size of at least 6m, such as 512m or 2g")
                .unwrap_or(defaults.node_memory),
            node_cpus: read.parsed(NODE_CPUS, cpus, "a number of cores of at least 0.01, such as 0.5"),
            kubeconfig: read.given(KUBECONFIG).map(PathBuf::from),
            kube_context: read.text(KUBE_CONTEXT),
            kube_allow: read.text(KUBE_ALLOW),
            pull_policy: read
                .parsed(PULL_POLICY, pull_policy, &format!("one of {}", PULL_POLICIES.join(", ")))
                .unwrap_or(defaults.pull_policy),
            storage_class: read.text(STORAGE_CLASS),
            node_host: read.text(NODE_HOST),
        };
        let bad = read.bad.into_inner();
        if bad.is_empty() { Ok(settings) } else { Err(BadSettings(bad)) }
    }
}

/// The programs that nextest names.
fn archived(variables: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<OsString, PathBuf> {
    let program = |(name, path): (OsString, OsString)| {
        let program = name.to_str()?.strip_prefix("NEXTEST_BIN_EXE_")?.into();
        Some((program, path.into()))
    };
    variables.filter_map(program).collect()
}

fn subnets(text: &str) -> Option<Ipv4Net> {
    text.parse().ok().filter(|net: &Ipv4Net| net.prefix_len() <= 23 && net.addr() == net.network())
}

/// A number of bytes, or of the unit of its last letter; engines take no less than 6 MiB, and count in 63 bits.
fn memory(text: &str) -> Option<u64> {
    let units = [('k', 10), ('m', 20), ('g', 30)];
    let unit = units.into_iter().find_map(|(letter, bits)| Some((text.strip_suffix(letter)?, bits)));
    let (number, bits) = unit.unwrap_or((text, 0));
    number.parse::<u64>().ok()?.checked_mul(1 << bits).filter(|bytes| (6 << 20..1 << 63).contains(bytes))
}

/// Engines take no less than a hundredth, and nothing for no limit.
fn cpus(text: &str) -> Option<f64> {
    text.parse().ok().filter(|cores: &f64| cores.is_finite() && *cores >= 0.01)
}

/// The backend of which this process was started to watch another.
#[cfg(any(feature = "compose", feature = "k8s"))]
pub(crate) fn watched() -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "asked before `main`, where no other setting is of use")]
    std::env::var_os(WATCH)
}

fn pull_policy(text: &str) -> Option<String> {
    PULL_POLICIES.iter().find(|policy| policy.eq_ignore_ascii_case(text)).map(ToString::to_string)
}

fn log_level(text: &str) -> Option<String> {
    LOG_LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the settings whose values mean nothing.
    fn bad_ones(variables: &[(&str, &str)]) -> Vec<String> {
        let BadSettings(bad) = read(variables).unwrap_err();
        bad.into_iter().map(|setting| setting.name).collect()
    }

    fn read(variables: &[(&str, &str)]) -> Result<Settings, BadSettings> {
        Settings::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn unset_and_empty_mean_the_default() {
        assert_eq!(read(&[]).unwrap(), Settings::default());
        let empty: Vec<_> = SETTINGS.iter().map(|setting| (setting.name, "")).collect();
        assert_eq!(read(&empty).unwrap(), Settings::default());
    }

    #[test]
    fn every_setting_of_the_table_is_read() {
        for setting in SETTINGS {
            let given = if setting.name == TRACING { "on" } else { "info" };
            assert_ne!(read(&[(setting.name, given)]), Ok(Settings::default()), "{}", setting.name);
        }
    }

    #[test]
    fn programs_of_nextest_are_told_by_their_names() {
        let variables = [("NEXTEST_BIN_EXE_node", "/elsewhere/node"), ("NEXTEST", "1")];
        let found = archived(variables.into_iter().map(|(name, path)| (name.into(), path.into())));
        assert_eq!(found, [("node".into(), "/elsewhere/node".into())].into());
    }

    #[test]
    fn networks_and_limits_are_read() {
        let settings =
            read(&[(SUBNETS, "172.20.0.0/16"), (NODE_MEMORY, "512m"), (NODE_CPUS, "0.5")]).unwrap();
        assert_eq!(settings.subnets.to_string(), "172.20.0.0/16");
        assert_eq!((settings.node_memory, settings.node_cpus), (512 << 20, Some(0.5)));
        for (name, bad) in [
            (SUBNETS, "10.0.0.1/8"),
            (SUBNETS, "10.0.0.0/24"),
            (NODE_MEMORY, "1m"),
            (NODE_MEMORY, "8589934592g"),
            (NODE_CPUS, "0"),
            (NODE_CPUS, "1e-10"),
            (DOCKER_HOST, "/var/run/docker.sock"),
        ] {
            assert_eq!(bad_ones(&[(name, bad)]), [name], "{bad}");
        }
    }

    #[test]
    fn tracing_is_a_level_for_those_who_give_none() {
        let level = |variables| read(variables).unwrap().log_level;
        assert_eq!(level(&[(TRACING, "1")]).as_deref(), Some("debug"));
        assert_eq!(level(&[(TRACING, "off")]), None);
        assert_eq!(level(&[(TRACING, "true"), (LOG_LEVEL, "warn")]).as_deref(), Some("warn"));
        assert_eq!(bad_ones(&[(TRACING, "perhaps")]), [TRACING]);
    }

    #[test]
    fn bad_values_are_told_with_the_good_ones_and_all_at_once() {
        assert_eq!(read(&[(LOG_LEVEL, "INFO")]).unwrap().log_level.as_deref(), Some("INFO"));
        assert_eq!(
            read(&[(LOG_LEVEL, "loud")]).unwrap_err().to_string(),
            "NOMOS_LOG_LEVEL is `loud`, expected one of off, error, warn, info, debug, trace"
        );
        assert_eq!(
            bad_ones(&[(NODE_MEMORY, "1GB"), (LOG_LEVEL, "loud"), (NODE_CPUS, "-1")]),
            [LOG_LEVEL, NODE_MEMORY, NODE_CPUS]
        );
    }
}
