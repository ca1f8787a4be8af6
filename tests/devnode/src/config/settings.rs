//! A configuration read to the last field: what a node works with.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use humantime::format_duration;

use super::{Config, Faults, NoteConfig, Role};
use crate::genesis::Genesis;
use crate::keys::SecretKey;
use crate::wire::{Output, PublicKey};

/// What a node works with. The fields are those of [`Config`], some of them with their last name only.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of Config")]
pub struct Settings {
    pub name: String,
    pub role: Role,
    pub node_key: SecretKey,
    pub listen: SocketAddr,
    pub peers: Vec<Peer>,
    pub discovery: bool,
    pub http: SocketAddr,
    pub testing_http: SocketAddr,
    pub genesis: Genesis,
    pub start_time: SystemTime,
    pub slot: Duration,
    pub active_slot_coeff: f64,
    pub security_param: u64,
    pub leader_keys: Vec<SecretKey>,
    pub members: Vec<PublicKey>,
    pub retention: u64,
    pub give_up: Duration,
    pub delay: RangeInclusive<Duration>,
    pub storage: Option<PathBuf>,
    pub log: String,
    pub faults: Faults,
    pub http_delay: Duration,
}

/// A peer to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of PeerConfig")]
pub struct Peer {
    pub address: String,
    pub public_key: PublicKey,
}

/// All that is wrong with a configuration, each with the path of its field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Problems {}

const RETENTION: u64 = 10_000;
const GIVE_UP: Duration = Duration::from_secs(60);

/// A shorter slot is over before anybody has heard of its block, or the timer has gone off.
pub const MIN_SLOT: Duration = Duration::from_millis(10);

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

impl Config {
    /// Reads every field.
    ///
    /// # Errors
    ///
    /// All that is wrong, at once.
    pub fn settings(&self) -> Result<Settings, Problems> {
        let mut reader = Reader::default();
        let settings = self.read(&mut reader);
        match settings {
            Some(settings) if reader.problems.is_empty() => Ok(settings),
            _ => Err(Problems(reader.problems)),
        }
    }

    fn read(&self, reader: &mut Reader) -> Option<Settings> {
        let node_key = reader.field("node_key", SecretKey::from_hex(&self.node_key));
        let listen = reader.address("listen", &self.listen);
        let http = reader.address("http", &self.http);
        let testing_http = reader.address("testing_http", &self.testing_http);
        let peers = reader.list("peers", &self.peers, |reader, path, peer| {
            let host = peer
                .address
                .rsplit_once(':')
                .filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
            let expected = || format!("expected `host:port`, found `{}`", peer.address);
            let address = reader.field(&format!("{path}.address"), host.ok_or_else(expected));
            let public_key = reader.public_key(&format!("{path}.public_key"), &peer.public_key);
            address.and(public_key).map(|public_key| Peer { address: peer.address.clone(), public_key })
        });
        let leaders = reader.notes("genesis.leaders", &self.genesis.leaders);
        let accounts = reader.notes("genesis.accounts", &self.genesis.accounts);
        let genesis = leaders.zip(accounts).map(|(leaders, accounts)| Genesis { leaders, accounts });
        let start_time = reader.field("start_time", start_time(&self.start_time));
        let slot = reader.duration("slot", &self.slot);
        if slot.is_some_and(|slot| slot < MIN_SLOT) {
            let found = format!("expected at least {}, found `{}`", format_duration(MIN_SLOT), self.slot);
            reader.problem("slot", &found);
        }
        if !(self.active_slot_coeff > 0.0 && self.active_slot_coeff <= 1.0) {
            reader.problem("active_slot_coeff", "must be above 0 and at most 1");
        }
        if self.security_param == 0 {
            reader.problem("security_param", "must be at least 1");
        }
        let leader_keys = reader.list("leader_keys", &self.leader_keys, |reader, path, key| {
            reader.field(path, SecretKey::from_hex(key))
        });
        if let (Some(genesis), Some(keys)) = (&genesis, &leader_keys) {
            reader.leaders(genesis, keys);
        }
        let members = reader.members(&self.data.members);
        let give_up = match &self.data.give_up {
            Some(give_up) => reader.duration("data.give_up", give_up),
            None => Some(GIVE_UP),
        };
        let delay = self.delay(reader);
        let http_delay = match &self.faults.http_delay {
            Some(delay) => reader.duration("faults.http_delay", delay),
            None => Some(Duration::ZERO),
        };
        if !LEVELS.contains(&self.log.as_str()) {
            reader.problem("log", &format!("expected one of {}, found `{}`", LEVELS.join(", "), self.log));
        }
        Some(Settings {
            name: self.name.clone(),
            role: self.role,
            node_key: node_key?,
            listen: listen?,
            peers: peers?,
            discovery: self.discovery,
            http: http?,
            testing_http: testing_http?,
            genesis: genesis?,
            start_time: start_time?,
            slot: slot?,
            active_slot_coeff: self.active_slot_coeff,
            security_param: self.security_param,
            leader_keys: leader_keys?,
            members: members?,
            retention: self.data.retention.unwrap_or(RETENTION),
            give_up: give_up?,
            delay: delay?,
            storage: self.storage.as_ref().map(PathBuf::from),
            log: self.log.clone(),
            faults: self.faults.clone(),
            http_delay: http_delay?,
        })
    }

    fn delay(&self, reader: &mut Reader) -> Option<RangeInclusive<Duration>> {
        let Some(delay) = &self.network.delay else {
            return Some(Duration::ZERO..=Duration::ZERO);
        };
        let min = reader.duration("network.delay.min", &delay.min);
        let max = reader.duration("network.delay.max", &delay.max);
        let (min, max) = min.zip(max)?;
        if min > max {
            reader.problem("network.delay.min", "must not be more than network.delay.max");
        }
        Some(min..=max)
    }
}

/// RFC 3339, in UTC.
fn start_time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339(text)
        .map_err(|_| format!("expected a time such as `2025-12-01T10:00:00.000Z`, found `{text}`"))
}

/// Collects problems while fields are read.
#[derive(Default)]
struct Reader {
    problems: Vec<String>,
}

impl Reader {
    fn problem(&mut self, path: &str, what: &str) {
        self.problems.push(format!("{path}: {what}"));
    }

    fn field<T, E: fmt::Display>(&mut self, path: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.problem(path, &error.to_string())).ok()
    }

    fn list<T, U>(
        &mut self,
        path: &str,
        items: &[T],
        mut read: impl FnMut(&mut Self, &str, &T) -> Option<U>,
    ) -> Option<Vec<U>> {
        let items = items.iter().enumerate();
        let items: Vec<_> =
            items.map(|(index, item)| read(self, &format!("{path}[{index}]"), item)).collect();
        items.into_iter().collect()
    }

    fn address(&mut self, path: &str, text: &str) -> Option<SocketAddr> {
        let address = SocketAddr::from_str(text);
        self.field(path, address.map_err(|_| format!("expected `ip:port`, found `{text}`")))
    }

    fn public_key(&mut self, path: &str, text: &str) -> Option<PublicKey> {
        self.field(path, PublicKey::from_str(text))
    }

    fn duration(&mut self, path: &str, text: &str) -> Option<Duration> {
        let duration = humantime::parse_duration(text);
        self.field(path, duration.map_err(|_| format!("expected a duration such as `500ms`, found `{text}`")))
    }

    fn notes(&mut self, path: &str, notes: &[NoteConfig]) -> Option<Vec<Output>> {
        self.list(path, notes, |reader, path, note| {
            if note.value == 0 {
                reader.problem(&format!("{path}.value"), "must be at least 1");
            }
            let pk = reader.public_key(&format!("{path}.public_key"), &note.public_key)?;
            Some(Output { value: note.value, pk })
        })
    }

    fn members(&mut self, members: &[String]) -> Option<Vec<PublicKey>> {
        let mut seen = HashSet::new();
        self.list("data.members", members, |reader, path, member| {
            let member = reader.public_key(path, member)?;
            if !seen.insert(member) {
                reader.problem(path, "is a member already");
            }
            Some(member)
        })
    }

    /// The lottery tells leaders apart by their keys, and nobody wins with a key that has no stake.
    fn leaders(&mut self, genesis: &Genesis, keys: &[SecretKey]) {
        let mut owners = HashSet::new();
        for (index, leader) in genesis.leaders.iter().enumerate() {
            if !owners.insert(leader.pk) {
                self.problem(&format!("genesis.leaders[{index}].public_key"), "has a note already");
            }
        }
        let values = genesis.leaders.iter().chain(&genesis.accounts).map(|note| note.value);
        if values.clone().try_fold(0, u64::checked_add).is_none() {
            self.problem("genesis", "the notes' values sum to more than 64 bits hold");
        }
        for (index, key) in keys.iter().enumerate() {
            if !owners.contains(&key.public()) {
                self.problem(&format!("leader_keys[{index}]"), "owns none of genesis.leaders");
            }
        }
    }
}
