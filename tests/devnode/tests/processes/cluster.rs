//! Nodes as processes of their own, on loopback addresses of their own.

use std::fs::{self, File};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use logos_scenario_devnode::config::{
    Config, DataConfig, Faults, GenesisConfig, NetworkConfig, NoteConfig, PeerConfig, Role,
};
use logos_scenario_devnode::genesis::{Genesis, Note};
use logos_scenario_devnode::keys::SecretKey;
use logos_scenario_devnode::wallet::{Transfer, account_key, transfer};
use logos_scenario_devnode::wire::{Output, PublicKey};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use reqwest::{Client, Response};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;

/// Where whoever holds a subnet listens: the local backend does as well.
const GUARD_PORT: u16 = 27_400;

/// A machine may have so many times as much to do as these cases give it.
const PATIENCE: u32 = 6;

/// How many wallet accounts there are, with 100 each.
const ACCOUNTS: u64 = 64;

/// Nodes that are started as often as a case likes. All end with it.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) client: Client,
    directory: tempfile::TempDir,
    /// Holds the subnet.
    _guard: TcpListener,
}

pub(crate) struct Node {
    pub(crate) config: Config,
    child: Option<Child>,
    path: PathBuf,
}

/// Who dials whom.
#[derive(Clone, Copy)]
pub(crate) enum Layout {
    /// Everybody dials node 0.
    Star,
    /// Everybody dials the one before.
    Chain,
    /// Everybody dials all before.
    Full,
}

impl Cluster {
    /// Nodes with slots of that length, changed by `change`, and not started.
    pub(crate) fn new(count: usize, slot: &str, layout: Layout, change: impl Fn(usize, &mut Config)) -> Self {
        let (guard, subnet) = subnet();
        let host = |index: usize| Ipv4Addr::new(127, subnet.0, subnet.1, 10 + u8::try_from(index).unwrap());
        let start = SystemTime::now() + Duration::from_millis(700);
        let directory = tempfile::tempdir().unwrap();
        let config = |index: usize| {
            let dialled = match layout {
                Layout::Star => 0..index.min(1),
                Layout::Chain => index.saturating_sub(1)..index,
                Layout::Full => 0..index,
            };
            let mut config = Config {
                name: format!("validator-{index}"),
                role: Role::Validator,
                node_key: key(2, index).to_hex(),
                listen: format!("{}:3000", host(index)),
                peers: dialled
                    .map(|peer| PeerConfig {
                        address: format!("{}:3000", host(peer)),
                        public_key: key(2, peer).public().to_string(),
                    })
                    .collect(),
                discovery: true,
                http: format!("{}:18080", host(index)),
                testing_http: format!("{}:18081", host(index)),
                genesis: GenesisConfig {
                    leaders: (0..count).map(|index| note(1000, key(1, index).public())).collect(),
                    accounts: (0..ACCOUNTS).map(|index| note(100, account_key(index).public())).collect(),
                },
                start_time: humantime::format_rfc3339_millis(start).to_string(),
                slot: slot.to_owned(),
                active_slot_coeff: 0.9,
                security_param: 10,
                leader_keys: vec![key(1, index).to_hex()],
                data: DataConfig {
                    members: (0..count).map(|index| key(2, index).public().to_string()).collect(),
                    ..DataConfig::default()
                },
                network: NetworkConfig::default(),
                storage: Some(directory.path().join(format!("storage-{index}")).display().to_string()),
                log: "info".to_owned(),
                faults: Faults::default(),
            };
            change(index, &mut config);
            config
        };
        let node = |index| {
            let config = config(index);
            let path = directory.path().join(format!("{}.yaml", config.name));
            Node { config, child: None, path }
        };
        let nodes = (0..count).map(node).collect();
        // A connection of its own for each request: the node closes one whose request it did not read to the end.
        let client = Client::builder().timeout(Duration::from_secs(30)).no_proxy().pool_max_idle_per_host(0);
        let client = client.build().unwrap();
        let cluster = Self { nodes, client, directory, _guard: guard };
        (0..count).for_each(|index| cluster.write_config(index));
        cluster
    }

    /// Gives the node's configuration to its next start.
    pub(crate) fn write_config(&self, index: usize) {
        let Node { config, path, .. } = &self.nodes[index];
        fs::write(path, config.to_yaml()).unwrap();
    }

    /// Starts all nodes and waits until they answer.
    pub(crate) async fn start(&mut self) {
        for index in 0..self.nodes.len() {
            self.spawn(index);
        }
        for index in 0..self.nodes.len() {
            self.ready(index).await;
        }
    }

    pub(crate) fn spawn(&mut self, index: usize) {
        self.spawn_with(index, &[]);
    }

    /// Starts a node with an environment of nothing else.
    pub(crate) fn spawn_with(&mut self, index: usize, environment: &[(&str, &str)]) {
        let log = File::options().create(true).append(true).open(self.log(index)).unwrap();
        let mut command = program(&[self.path(index)], log.into());
        self.nodes[index].child = Some(command.envs(environment.iter().copied()).spawn().unwrap());
    }

    pub(crate) async fn ready(&self, index: usize) {
        until(&format!("node {index} answers"), 10, async || self.info(index).await.is_some()).await;
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(&mut self, index: usize, signal: Signal) {
        self.signal(index, signal);
        self.end_of(index);
    }

    /// How a node ends; waits for it.
    pub(crate) fn end_of(&mut self, index: usize) -> ExitStatus {
        self.nodes[index].child.as_mut().unwrap().wait().unwrap()
    }

    pub(crate) fn has_ended(&self, index: usize) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.pid(index)), options).unwrap().is_some()
    }

    pub(crate) fn path(&self, index: usize) -> &str {
        self.nodes[index].path.to_str().unwrap()
    }

    pub(crate) fn signal(&self, index: usize, signal: Signal) {
        kill_process(self.pid(index), signal).unwrap();
    }

    pub(crate) fn pid(&self, index: usize) -> Pid {
        Pid::from_child(self.nodes[index].child.as_ref().unwrap())
    }

    /// An address of this cluster that no node has.
    pub(crate) fn spare_address(&self, index: usize) -> SocketAddr {
        let mut address: SocketAddr = self.nodes[0].config.listen.parse().unwrap();
        let IpAddr::V4(ip) = address.ip() else { unreachable!("nodes have IPv4 addresses") };
        let [a, b, c, _] = ip.octets();
        address.set_ip(Ipv4Addr::new(a, b, c, 100 + u8::try_from(index).unwrap()).into());
        address
    }

    fn log(&self, index: usize) -> PathBuf {
        self.directory.path().join(format!("{}.log", self.nodes[index].config.name))
    }

    /// Forgets what a node has stored.
    pub(crate) fn forget(&self, index: usize) {
        fs::remove_dir_all(self.nodes[index].config.storage.as_ref().unwrap()).unwrap();
    }

    pub(crate) fn log_text(&self, index: usize) -> String {
        fs::read_to_string(self.log(index)).unwrap_or_default()
    }

    pub(crate) fn url(&self, index: usize, path: &str) -> String {
        format!("http://{}{path}", self.nodes[index].config.http)
    }

    pub(crate) async fn get(&self, index: usize, path: &str) -> Option<Response> {
        self.client.get(self.url(index, path)).send().await.ok()
    }

    pub(crate) async fn post(&self, index: usize, path: &str, body: &Value) -> (u16, String) {
        let response = self.client.post(self.url(index, path)).json(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn info(&self, index: usize) -> Option<Value> {
        self.get(index, "/cryptarchia/info").await?.json().await.ok()
    }

    pub(crate) async fn network(&self, index: usize) -> Value {
        self.get(index, "/network/info").await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn metric(&self, index: usize, name: &str) -> u64 {
        let url = format!("http://{}/metrics", self.nodes[index].config.testing_http);
        let text = self.client.get(url).send().await.unwrap().text().await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no metric {name} in:\n{text}"))
    }

    pub(crate) async fn height(&self, index: usize) -> u64 {
        self.info(index).await.map_or(0, |info| info["height"].as_u64().unwrap())
    }

    pub(crate) async fn height_of_all(&self) -> u64 {
        let mut least = u64::MAX;
        for index in 0..self.nodes.len() {
            least = least.min(self.height(index).await);
        }
        least
    }

    /// A node's last irreversible block and its height.
    pub(crate) async fn lib(&self, index: usize) -> Option<(u64, String)> {
        let info = self.info(index).await?;
        let [tip, lib] = ["tip", "lib"].map(|end| info[end].as_str().unwrap().to_owned());
        let headers = self.get(index, &format!("/cryptarchia/headers?from={tip}&to={lib}")).await?;
        let depth = headers.json::<Vec<String>>().await.ok()?.len() as u64 - 1;
        Some((info["height"].as_u64()? - depth, lib))
    }

    /// The followed chain of a node without genesis, lowest first: each block with its id.
    pub(crate) async fn chain(&self, index: usize) -> Vec<(String, Value)> {
        let Some(info) = self.info(index).await else { return Vec::new() };
        let mut id = info["tip"].clone();
        let mut blocks = Vec::new();
        loop {
            let (_, block) = self.post(index, "/storage/block", &id).await;
            let block: Value = serde_json::from_str(&block).unwrap();
            if block.is_null() {
                break;
            }
            let parent = block["header"]["parent_block"].clone();
            blocks.push((id.as_str().unwrap().to_owned(), block));
            id = parent;
        }
        blocks.reverse();
        blocks
    }

    pub(crate) fn genesis(&self) -> Genesis {
        self.nodes[0].config.settings().unwrap().genesis
    }

    /// A transfer of account `from`'s genesis note to the next account.
    pub(crate) fn transfer(&self, from: u64) -> Transfer {
        let note: Note = self.genesis().account_note(usize::try_from(from).unwrap()).unwrap();
        let pk = account_key(from + 1).public();
        transfer(&[(note, &account_key(from))], vec![Output { value: 100, pk }])
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(child) = &mut node.child {
                let _: std::io::Result<()> = child.kill();
                let _: std::io::Result<ExitStatus> = child.wait();
            }
        }
        if std::thread::panicking() {
            let path = std::env::temp_dir().join(format!("devnode-failed-{}", std::process::id()));
            let _: std::io::Result<()> = fs::create_dir_all(&path);
            for index in 0..self.nodes.len() {
                let name = self.log(index);
                let _: std::io::Result<u64> = fs::copy(&name, path.join(name.file_name().unwrap()));
            }
            eprintln!("the nodes' logs are in {}", path.display());
        }
    }
}

/// Runs the node's program.
pub(crate) fn spawn(arguments: &[&str], log: Stdio) -> Child {
    program(arguments, log).spawn().unwrap()
}

/// This test binary, as the node: see `main`.
#[expect(clippy::disallowed_methods, reason = "this file starts the processes of these tests")]
fn program(arguments: &[&str], log: Stdio) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    command
}

/// Waits until it holds, for so many seconds at most, or for [`PATIENCE`] times as many where others work as well.
#[expect(clippy::disallowed_methods, reason = "the one loop of these tests that sleeps")]
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, seconds: u64, holds: impl Fn() -> F) {
    let since = Instant::now();
    while !holds().await {
        assert!(
            since.elapsed() < PATIENCE * Duration::from_secs(seconds),
            "not within {seconds} s × {PATIENCE}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until all nodes have a chain of that height; their final blocks must be the same.
pub(crate) async fn agree_at(cluster: &Cluster, height: u64, seconds: u64) -> Vec<(String, Value)> {
    let what = format!("all nodes are at height {height}");
    until(&what, seconds, async || cluster.height_of_all().await >= height).await;
    let mut chains = Vec::new();
    for index in 0..cluster.nodes.len() {
        let mut chain = cluster.chain(index).await;
        chain.truncate(chain.len().saturating_sub(10));
        chains.push(chain);
    }
    let common = chains.iter().map(Vec::len).min().unwrap();
    chains.iter_mut().for_each(|chain| chain.truncate(common));
    for (index, chain) in chains.iter().enumerate() {
        let first = chains[0].iter().zip(chain).position(|(one, other)| one.0 != other.0);
        assert_eq!(first, None, "node {index} and node 0 differ from height {first:?} on");
    }
    chains.swap_remove(0)
}

/// Lets a random time go by, at most so long.
#[expect(clippy::disallowed_methods, reason = "what happens at random instants is the matter of a case")]
pub(crate) async fn any_time(rng: &mut ChaCha8Rng, most: Duration) {
    tokio::time::sleep(most.mul_f64(rng.random())).await;
}

/// A `127.a.b.0/24` that nobody else has, as long as the listener lives.
fn subnet() -> (TcpListener, (u8, u8)) {
    let mut number = std::process::id();
    loop {
        let [a, b, ..] = number.wrapping_mul(2_654_435_761).to_be_bytes();
        let a = a.clamp(1, 254);
        if let Ok(guard) = TcpListener::bind((Ipv4Addr::new(127, a, b, 1), GUARD_PORT)) {
            return (guard, (a, b));
        }
        number += 1;
    }
}

fn key(kind: u8, index: usize) -> SecretKey {
    let mut seed = [kind; 32];
    seed[0] = u8::try_from(index).unwrap();
    SecretKey::from_seed(seed)
}

fn note(value: u64, owner: PublicKey) -> NoteConfig {
    NoteConfig { value, public_key: owner.to_string() }
}
