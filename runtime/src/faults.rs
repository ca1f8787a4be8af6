//! What can be done to a cluster on purpose, in one vocabulary for every backend, and what is seen of it.
//!
//! A [`NetworkFault`] disturbs links between nodes, a [`Fault`] is one of these or something that happens to a
//! node. [`Faults`] applies and heals them, each call returning when its effect was observed; what
//! [`Chaos`](crate::Chaos) does goes the same way.
//!
//! The links of a scenario that declares `faults` lead through a relay, which closes, holds back or loses what the
//! faults say. What that looks like depends on the transport:
//!
//! | | over TCP | over UDP |
//! |---|---|---|
//! | `isolate`, `partition` | connections are closed, and new ones too | nothing arrives |
//! | `latency` | bytes arrive so much later, in order | datagrams arrive so much later, with jitter out of order |
//! | `loss` | what is lost is sent again: the stream stalls for 200 ms, 400 ms, …, and after six losses in a row it is closed | it never arrives |
//! | `rate` | bytes arrive one after the other at that rate | the same |
//!
//! HTTP of the framework's own never passes the relay, so that a node that is cut off can still be looked at.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::deployer::Capabilities;

mod links;
mod network;
mod observed;
mod sides;
pub use links::{Link, LinkState, Shape, shapes};
pub use network::Faults;
pub(crate) use network::{Disturbed, Disturbing};
pub(crate) use sides::Sides;

/// A disturbance of links between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkFault {
    /// A node and all others do not hear each other.
    Isolate(String),
    /// Nodes on different sides do not hear each other. Every node is on one of them.
    Partition(Vec<Vec<String>>),
    /// What one node sends to another arrives later.
    Latency {
        /// The link that is slow.
        link: Link,
        /// By how much, at least.
        delay: Duration,
        /// By how much more, at most: drawn anew for everything that is sent.
        jitter: Duration,
    },
    /// Some of what one node sends to another is lost.
    Loss {
        /// The link that loses.
        link: Link,
        /// How much of it, from 1 to 100.
        percent: u8,
    },
    /// What one node sends to another arrives one after the other.
    Rate {
        /// The link that is narrow.
        link: Link,
        /// How fast it is.
        bytes_per_second: u64,
    },
}

impl NetworkFault {
    /// Two sides that do not hear each other.
    pub fn partition<S: Into<String>>(
        one: impl IntoIterator<Item = S>,
        other: impl IntoIterator<Item = S>,
    ) -> Self {
        let names = |side: Vec<S>| side.into_iter().map(Into::into).collect();
        Self::Partition(vec![names(one.into_iter().collect()), names(other.into_iter().collect())])
    }

    /// What it asks of a backend.
    #[must_use]
    pub fn needs(&self) -> Capabilities {
        let shaping = !self.cuts();
        Capabilities { network_faults: true, shaping, ..Capabilities::default() }
    }

    /// Whether links are cut by it.
    #[must_use]
    pub fn cuts(&self) -> bool {
        matches!(self, Self::Isolate(_) | Self::Partition(_))
    }

    /// The nodes that it names, in its order.
    #[must_use]
    pub fn nodes(&self) -> Vec<&str> {
        match self {
            Self::Isolate(node) => vec![node],
            Self::Partition(sides) => sides.iter().flatten().map(String::as_str).collect(),
            Self::Latency { link, .. } | Self::Loss { link, .. } | Self::Rate { link, .. } => {
                vec![&link.from, &link.to]
            }
        }
    }
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = humantime::format_duration;
        match self {
            Self::Isolate(node) => write!(f, "isolate {node}"),
            Self::Partition(sides) => {
                let sides: Vec<_> = sides.iter().map(|side| side.join(", ")).collect();
                write!(f, "partition {}", sides.join(" from "))
            }
            Self::Latency { link, delay, jitter } if jitter.is_zero() => {
                write!(f, "latency of {} on {link}", show(*delay))
            }
            Self::Latency { link, delay, jitter } => {
                write!(f, "latency of {} to {} on {link}", show(*delay), show(*delay + *jitter))
            }
            Self::Loss { link, percent } => write!(f, "loss of {percent} % on {link}"),
            Self::Rate { link, bytes_per_second } => {
                write!(f, "rate of {bytes_per_second} bytes per second on {link}")
            }
        }
    }
}

/// Anything that is done to a cluster on purpose: to one node, whose name it has, or to the network.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// use logos_scenario::faults::{Fault, NetworkFault};
/// let json = r#"[{"kill":"validator-1"},{"partition":[["validator-0"],["validator-1"]]}]"#;
/// let faults: Vec<Fault> = serde_json::from_str(json)?;
/// assert_eq!(faults[0], Fault::Kill("validator-1".into()));
/// assert_eq!(faults[1], Fault::Network(NetworkFault::partition(["validator-0"], ["validator-1"])));
/// assert_eq!(serde_json::to_string(&faults)?, json);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The node is ended at once.
    Kill(String),
    /// The node is asked to end.
    Stop(String),
    /// The node does nothing, without being ended.
    Pause(String),
    /// The node is stopped and started again.
    Restart(String),
    /// Links are disturbed.
    #[serde(untagged)]
    Network(NetworkFault),
}

impl Fault {
    /// What it asks of a backend.
    #[must_use]
    pub fn needs(&self) -> Capabilities {
        match self {
            Self::Network(fault) => fault.needs(),
            Self::Pause(_) => Capabilities { node_control: true, pause: true, ..Capabilities::default() },
            Self::Kill(_) | Self::Stop(_) | Self::Restart(_) => {
                Capabilities { node_control: true, ..Capabilities::default() }
            }
        }
    }

    /// The nodes that it names.
    #[must_use]
    pub fn nodes(&self) -> Vec<&str> {
        match self {
            Self::Kill(node) | Self::Stop(node) | Self::Pause(node) | Self::Restart(node) => vec![node],
            Self::Network(fault) => fault.nodes(),
        }
    }
}

impl From<NetworkFault> for Fault {
    fn from(fault: NetworkFault) -> Self {
        Self::Network(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(node) => write!(f, "kill {node}"),
            Self::Stop(node) => write!(f, "stop {node}"),
            Self::Pause(node) => write!(f, "pause {node}"),
            Self::Restart(node) => write!(f, "restart {node}"),
            Self::Network(fault) => fault.fmt(f),
        }
    }
}
