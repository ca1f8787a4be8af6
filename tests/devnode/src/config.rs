//! The file that a node is started with, as data.
//!
//! Addresses, keys and times are plain text here, since whoever writes the file may leave symbols in them that are
//! replaced later. [`Config::settings`] reads them, and tells all that is wrong at once.

mod settings;

use serde::{Deserialize, Serialize};

pub use settings::{MIN_SLOT, Peer, Problems, Settings};

/// The whole configuration of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the node calls itself in its log.
    pub name: String,
    /// What the node does.
    pub role: Role,
    /// Seed of the node's Ed25519 identity, in 64 hex digits.
    pub node_key: String,
    /// Where the node listens for peers, `ip:port`, over TCP.
    pub listen: String,
    /// The peers that the node dials, again and again. Who is named here need not name the node in turn.
    #[serde(default)]
    pub peers: Vec<PeerConfig>,
    /// Whether the node learns the addresses of further peers from its peers, tells its own, and dials them.
    #[serde(default)]
    pub discovery: bool,
    /// Where the node serves its HTTP API, `ip:port`.
    pub http: String,
    /// Where the node serves what only tests ask for, `ip:port`.
    pub testing_http: String,
    /// The notes before the first block.
    pub genesis: GenesisConfig,
    /// When slot 0 begins, such as `2025-12-01T10:00:00.000Z`.
    pub start_time: String,
    /// Length of a slot, such as `500ms`: at least [`MIN_SLOT`].
    pub slot: String,
    /// The chance that a slot has a leader if all stake takes part: above 0 and at most 1.
    pub active_slot_coeff: f64,
    /// How many blocks deep a block is final.
    pub security_param: u64,
    /// Seeds of the leader notes that this node leads with, each in 64 hex digits. Give each to one node only.
    #[serde(default)]
    pub leader_keys: Vec<String>,
    /// Who keeps data available.
    #[serde(default, skip_serializing_if = "is_default")]
    pub data: DataConfig,
    /// How the node sends.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: NetworkConfig,
    /// The directory for what survives the process; without one nothing does. It belongs to one node and one chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// The least level that is logged: `error`, `warn`, `info`, `debug` or `trace`.
    #[serde(default = "info")]
    pub log: String,
    /// What the node does wrong on purpose.
    #[serde(default, skip_serializing_if = "is_default")]
    pub faults: Faults,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes part in consensus.
    Validator,
    /// Also encodes and disperses data.
    Executor,
}

/// A peer to dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// `host:port`; the host may be an address or a name.
    pub address: String,
    /// Public key of the peer's identity, in 64 hex digits: nobody else is accepted there.
    pub public_key: String,
}

/// The notes before the first block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisConfig {
    /// Notes that count as stake.
    pub leaders: Vec<NoteConfig>,
    /// Notes of the wallet accounts, in order.
    pub accounts: Vec<NoteConfig>,
}

/// A note before the first block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoteConfig {
    /// Value in units.
    pub value: u64,
    /// Who may spend it, in 64 hex digits.
    pub public_key: String,
}

/// Who keeps data available.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Public keys of the identities of the nodes that keep data, each in 64 hex digits. Of each blob the first
    /// keeps the first share, and so on; all nodes of a chain must name the same.
    pub members: Vec<String>,
    /// A share goes when the last irreversible block is so many blocks above the tip that there was when the share
    /// was stored, or when its blob was last included. 10,000 where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<u64>,
    /// After so long an executor gives up a dispersal that too few members acknowledge, such as `20s`. `60s` where it
    /// is not given: three times 20 s, after which production gives up as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give_up: Option<String>,
}

/// How a node sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Each block the node makes is sent that much later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
}

/// A random time between two bounds, such as `50ms` and `1s`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// The least.
    pub min: String,
    /// The most.
    pub max: String,
}

/// What a node does wrong on purpose. Each says so in the log when it does it. With stored data a node is at its
/// height again after a restart, so that what happens from a height on happens again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Says so on stderr and ends with exit code 1, before it opens anything.
    #[serde(skip_serializing_if = "is_default")]
    pub refuse_to_start: bool,
    /// Makes no block once its chain has this height.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_producing_at: Option<u64>,
    /// Makes a block in every other slot that it wins.
    #[serde(skip_serializing_if = "is_default")]
    pub half_rate: bool,
    /// Makes a second block, beside the tip, in each slot that it wins.
    #[serde(skip_serializing_if = "is_default")]
    pub equivocate: bool,
    /// Takes no block and no transaction from its peers once its chain has this height, and so makes a chain of its
    /// own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fork_away_at: Option<u64>,
    /// Accepts submitted transactions, whatever they are, and drops them.
    #[serde(skip_serializing_if = "is_default")]
    pub accept_and_drop: bool,
    /// Keeps shares and answers samples, and gives no share to who reads a blob.
    #[serde(skip_serializing_if = "is_default")]
    pub withhold_shares: bool,
    /// Answers samples, and gives shares with a wrong byte to who reads a blob.
    #[serde(skip_serializing_if = "is_default")]
    pub corrupt_shares: bool,
    /// Forgets its shares of a blob once that is in a block.
    #[serde(skip_serializing_if = "is_default")]
    pub lose_blobs: bool,
    /// Answers no sample, and takes no blob into its blocks.
    #[serde(skip_serializing_if = "is_default")]
    pub refuse_sampling: bool,
    /// Acknowledges data that it is to disperse, and drops it.
    #[serde(skip_serializing_if = "is_default")]
    pub drop_dispersals: bool,
    /// Panics once its chain has this height.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panic_at: Option<u64>,
    /// Ends without a word to anybody once its chain has a height.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_at: Option<ExitAt>,
    /// Answers each HTTP request that much later, such as `2s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_delay: Option<String>,
    /// What it does instead of answering HTTP requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpFault>,
}

/// When a node exits, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitAt {
    /// The height of its chain.
    pub height: u64,
    /// The exit code.
    pub code: u8,
}

/// What a node does instead of answering HTTP requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpFault {
    /// Answers 200 with something that is no JSON and no text.
    Garbage,
    /// Takes requests and never answers.
    Silent,
    /// Opens no port, and runs.
    Closed,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn info() -> String {
    "info".to_owned()
}

impl Config {
    /// Reads YAML.
    ///
    /// # Errors
    ///
    /// What is wrong and where, in one line.
    pub fn from_yaml(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| {
            let text = error.without_snippet().to_string();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        })
    }

    /// Writes YAML.
    ///
    /// # Panics
    ///
    /// Never: a configuration is plain data.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("a configuration is plain data")
    }
}

#[cfg(test)]
mod tests;
