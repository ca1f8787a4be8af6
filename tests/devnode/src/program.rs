//! What a test framework must know of the devnode: its [`NodeProgram`].

mod data;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use logos_scenario_runtime::node::{DataAvailability, NodeProgram, Note, Transfer, Wallet};
use logos_scenario_runtime::plan::{
    Executable, Genesis, NodePlanning, PlannedFile, PlannedNode, PlannedPort, Protocol, symbol,
};
use logos_scenario_runtime::{Problem, Role, Topology, TransactionId};
use serde_json::Value;

use crate::config::{Config, DataConfig, Faults, GenesisConfig, NetworkConfig, NoteConfig, PeerConfig};
use crate::keys::SecretKey;
use crate::wallet::{account_key, transfer};
use crate::wire::{Output, PublicKey, SignedTransaction};

/// The devnode as a node program.
///
/// Settings of single nodes are paths into their [`Config`], such as `faults.panic_at`.
#[derive(Clone, Debug, Default)]
pub struct Devnode {
    path: Option<PathBuf>,
    fetching: bool,
}

/// What a message takes on one machine at most, when no node delays it on purpose.
const MESSAGE_DELAY: Duration = Duration::from_millis(50);

impl Devnode {
    /// The devnode whose executable is at `path`, in most tests `env!("CARGO_BIN_EXE_devnode")`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..Self::default() }
    }

    /// Lets nodes fetch their configuration from a cfgsync server where the backend has one.
    #[must_use]
    pub fn fetching(mut self) -> Self {
        self.fetching = true;
        self
    }
}

impl NodeProgram for Devnode {
    fn name(&self) -> &str {
        "devnode"
    }

    fn identity(&self) -> String {
        let metadata = self.path.as_ref().and_then(|path| path.metadata().ok());
        let changed = metadata.and_then(|metadata| {
            Some((metadata.len(), metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?))
        });
        format!("{} {changed:?} {}", env!("CARGO_PKG_VERSION"), self.fetching)
    }

    fn plan(&self, node: &NodePlanning<'_>) -> Result<PlannedNode, Problem> {
        let config = config(node)?;
        let port =
            |name: &str, number| PlannedPort { name: name.to_owned(), protocol: Protocol::Tcp, number };
        let executable = Executable { program: "devnode".to_owned(), path: self.path.clone() };
        Ok(PlannedNode {
            args: vec![format!("{}/config.yaml", symbol::DIRECTORY)],
            files: vec![PlannedFile { path: "config.yaml".into(), text: config.to_yaml() }],
            ports: vec![port("p2p", 3000), port("http", 18080), port("testing_http", 18081)],
            fetches: self.fetching.then(|| "config.yaml".into()),
            ..PlannedNode::new(node.node(), executable)
        })
    }

    fn wallet(&self) -> Option<&dyn Wallet> {
        Some(self)
    }

    fn data(&self) -> Option<&dyn DataAvailability> {
        Some(self)
    }

    fn message_delay(&self, topology: &Topology) -> Duration {
        let delays = topology.nodes().iter().flat_map(|node| &node.config).filter_map(|(path, value)| {
            let max = match path.as_str() {
                "network.delay.max" => value,
                "network.delay" => &value["max"],
                _ => return None,
            };
            humantime::parse_duration(max.as_str()?).ok()
        });
        delays.max().unwrap_or_default() + MESSAGE_DELAY
    }
}

/// The configuration of one node, with symbols for what only a backend knows.
fn config(node: &NodePlanning<'_>) -> Result<Config, Problem> {
    let NodePlanning { topology, genesis, index } = *node;
    let planned = &topology.nodes()[index];
    let consensus = topology.consensus();
    let control =
        |port: &str| format!("{}:{}", symbol::control(&planned.name), symbol::port(&planned.name, port));
    let peer = |peer: usize| {
        let leader = &genesis.leaders[peer];
        let (host, port) = (symbol::peer_host(&leader.node, "p2p"), symbol::peer_port(&leader.node, "p2p"));
        PeerConfig { address: format!("{host}:{port}"), public_key: public(leader.seed).to_string() }
    };
    let config = Config {
        name: planned.name.clone(),
        role: match planned.role {
            Role::Validator => crate::config::Role::Validator,
            Role::Executor => crate::config::Role::Executor,
        },
        node_key: hex::encode(genesis.leaders[index].seed),
        listen: format!("{}:{}", symbol::LISTEN, symbol::port(&planned.name, "p2p")),
        peers: topology.dials(index).into_iter().map(peer).collect(),
        // What a node learnt would lead around the relay.
        discovery: !topology.relayed(),
        http: control("http"),
        testing_http: control("testing_http"),
        genesis: notes(genesis),
        start_time: symbol::START_TIME.to_owned(),
        slot: humantime::format_duration(consensus.slot).to_string(),
        active_slot_coeff: consensus.active_slot_coeff,
        security_param: consensus.security_param.into(),
        leader_keys: vec![hex::encode(genesis.leaders[index].seed)],
        data: DataConfig {
            members: genesis.leaders.iter().map(|leader| public(leader.seed).to_string()).collect(),
            ..DataConfig::default()
        },
        network: NetworkConfig::default(),
        storage: Some(format!("{}/storage", symbol::DIRECTORY)),
        log: "info".to_owned(),
        faults: Faults::default(),
    };
    overlaid(config, &planned.name, &planned.config)
}

fn public(seed: [u8; 32]) -> PublicKey {
    SecretKey::from_seed(seed).public()
}

fn notes(genesis: &Genesis) -> GenesisConfig {
    let note = |Output { value, pk }: Output| NoteConfig { value, public_key: pk.to_string() };
    let genesis = outputs(genesis);
    GenesisConfig {
        leaders: genesis.leaders.into_iter().map(note).collect(),
        accounts: genesis.accounts.into_iter().map(note).collect(),
    }
}

fn outputs(genesis: &Genesis) -> crate::genesis::Genesis {
    let leaders = genesis.leaders.iter().map(|leader| (leader.stake, SecretKey::from_seed(leader.seed)));
    let leader = |(value, key): (u64, SecretKey)| Output { value, pk: key.public() };
    let account = |(index, value): (usize, &u64)| Output { value: *value, pk: account_public(index) };
    crate::genesis::Genesis {
        leaders: leaders.map(leader).collect(),
        accounts: genesis.accounts.iter().enumerate().map(account).collect(),
    }
}

/// The public key of an account. Each is computed once: a genesis has a thousand, and is planned often.
fn account_public(account: usize) -> PublicKey {
    static KEYS: Mutex<Vec<PublicKey>> = Mutex::new(Vec::new());
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = keys.len();
    keys.extend((known..=account).map(|index| account_key(index as u64).public()));
    keys[account]
}

/// Lays a node's own settings over its configuration.
fn overlaid(config: Config, node: &str, settings: &[(String, Value)]) -> Result<Config, Problem> {
    let mut value = serde_json::to_value(config).expect("a configuration is plain data");
    for (path, setting) in settings {
        let mut place = &mut value;
        for key in path.split('.') {
            if place.is_null() {
                *place = Value::Object(serde_json::Map::new());
            }
            place = match place.as_object_mut() {
                Some(object) => object.entry(key).or_insert(Value::Null),
                None => return Err(bad_setting(node, path, &format!("`{key}` is below a plain value"))),
            };
        }
        *place = setting.clone();
        serde_json::from_value::<Config>(value.clone())
            .map_err(|error| bad_setting(node, path, &error.to_string()))?;
    }
    Ok(serde_json::from_value(value).expect("each setting was checked"))
}

fn bad_setting(node: &str, path: &str, what: &str) -> Problem {
    Problem::new(
        format!("topology.with_node(\"{node}\").config(\"{path}\")"),
        what,
        "settings are paths into the devnode's configuration, such as `faults.panic_at`",
    )
}

impl Wallet for Devnode {
    fn genesis_notes(&self, genesis: &Genesis) -> Vec<Note> {
        outputs(genesis).notes().skip(genesis.leaders.len()).map(note).collect()
    }

    fn transfer(&self, owner: usize, input: &Note, outputs: &[(usize, u64)]) -> Transfer {
        let key = account_key(owner as u64);
        let spent = crate::genesis::Note {
            id: input.id.parse().expect("a note of this program has an id in hex"),
            output: Output { value: input.value, pk: key.public() },
        };
        let output = |(account, value): &(usize, u64)| Output { value: *value, pk: account_public(*account) };
        let sent = transfer(&[(spent, &key)], outputs.iter().map(output).collect());
        Transfer {
            id: TransactionId(sent.id.0),
            body: serde_json::to_value(&sent.transaction).expect("a transaction is plain data"),
            notes: sent.notes.into_iter().map(note).collect(),
        }
    }

    fn transaction_id(&self, transaction: &Value) -> Result<TransactionId, String> {
        let transaction: SignedTransaction =
            serde_json::from_value(transaction.clone()).map_err(|error| error.to_string())?;
        Ok(TransactionId(transaction.mantle_tx.id().0))
    }
}

fn note(note: crate::genesis::Note) -> Note {
    Note { id: note.id.to_string(), value: note.output.value }
}

#[cfg(test)]
mod tests;
