//! Scenarios on a cluster that is there already: `SCENARIO_KEEP` writes down where it is, or somebody does by hand, and
//! `SCENARIO_ATTACH` names that file.
//!
//! Such a cluster is somebody else's. Its nodes are asked, and read where their logs are files of this machine; nothing
//! is done to them, and nothing is torn down. Accounts and numbers of leases are taken from the file, under its lock, so
//! that nobody who attaches has what another had. One that is written by hand has none, and is not written to.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::case::Sharing;
use crate::deployer::{
    Backend, Cluster, ClusterDescription, ClusterError, DeployError, Deployer, Log, LogPart, NodeState,
    NodeStatus, Placement, States, Unavailable,
};
use crate::env;
use crate::failure::Problem;
use crate::plan::{ClusterKey, Plan};

mod by_hand;
use by_hand::ByHand;

/// The file's name in the folder of its cluster.
pub(crate) const FILE: &str = "attach.json";
/// Above all numbers of leases that the cluster's owner gives.
const FIRST_LEASE: u64 = 1 << 32;
/// How long a node may take to accept a connection.
const ANSWER: Duration = Duration::from_secs(5);
const KEEP: &str = "keep another with SCENARIO_KEEP=all, and attach to the file that its message names";

/// A cluster that is there already, as its file tells it.
#[derive(Clone, Debug)]
enum Told {
    Kept(Attachment),
    ByHand(ByHand),
}

impl Told {
    fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        // Only what was kept has the key of its plan.
        let kept =
            serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|file| file.get("key").is_some());
        let told = match kept {
            true => serde_json::from_str(&text).map(Self::Kept).map_err(|error| error.to_string()),
            false => ByHand::read(&text).map(Self::ByHand),
        };
        told.map_err(|error| format!("{}: {error}", path.display()))
    }

    fn backend(&self) -> &str {
        match self {
            Self::Kept(Attachment { backend, .. }) | Self::ByHand(ByHand { backend, .. }) => backend,
        }
    }
}

/// A cluster that was kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attachment {
    /// The backend that made it.
    backend: String,
    /// The case after which it was kept.
    case: String,
    key: ClusterKey,
    cluster: ClusterDescription,
    /// Accounts that nobody had. They are taken from the end, since whoever still uses the cluster goes on upwards.
    accounts: Range<usize>,
    /// The number of the next lease.
    lease: u64,
}

impl Attachment {
    pub(crate) fn new(
        backend: &str,
        case: &str,
        key: ClusterKey,
        cluster: ClusterDescription,
        accounts: Range<usize>,
    ) -> Self {
        Self {
            backend: backend.to_owned(),
            case: case.to_owned(),
            key,
            cluster,
            accounts,
            lease: FIRST_LEASE,
        }
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?)
    }

    /// Changes the file; others who do wait meanwhile.
    fn change<T>(path: &Path, change: impl FnOnce(&mut Self) -> T) -> io::Result<T> {
        let mut file = File::options().read(true).write(true).open(path)?;
        file.lock()?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let mut attachment: Self = serde_json::from_slice(&text)?;
        let changed = change(&mut attachment);
        file.rewind()?;
        file.set_len(0)?;
        file.write_all(&serde_json::to_vec_pretty(&attachment)?)?;
        Ok(changed)
    }

    /// The number of a new lease.
    pub(crate) fn lease(path: &Path) -> io::Result<u64> {
        if is_by_hand() {
            // Nobody counts, and no two begin at one moment.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            return Ok(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        }
        Self::change(path, |it| {
            it.lease += 1;
            it.lease - 1
        })
    }

    /// So many accounts, which begin at a multiple of their number as genesis has them; or how many are left.
    pub(crate) fn draw(path: &Path, count: usize) -> io::Result<Result<Range<usize>, usize>> {
        if is_by_hand() {
            return Err(io::Error::other(by_hand::NO_ACCOUNTS));
        }
        Self::change(path, |it| {
            let left = it.accounts.len();
            let begin = it.accounts.end.checked_sub(count).map(|begin| begin - begin % count.max(1));
            let begin = begin.filter(|begin| *begin >= it.accounts.start).ok_or(left)?;
            it.accounts.end = begin;
            Ok(begin..begin + count)
        })
    }
}

/// The file that is attached to, if one is, and what it told when this program began.
static ATTACHED: LazyLock<Option<(&'static Path, Result<Told, String>)>> = LazyLock::new(|| {
    let path = env::settings().attach.as_deref()?;
    Some((path, Told::read(path)))
});

fn is_by_hand() -> bool {
    matches!(&*ATTACHED, Some((_, Ok(Told::ByHand(_)))))
}

/// What is wrong with the file that is attached to, if something is.
pub(crate) fn problem() -> Option<Problem> {
    let (_, Err(wrong)) = ATTACHED.as_ref()? else { return None };
    Some(Problem::new("SCENARIO_ATTACH", wrong, format!("{KEEP}, {}", by_hand::SHAPE)))
}

/// These backends, but that each stands for the cluster that is attached to, where there is one.
pub(crate) fn instead(backends: &[Backend]) -> Vec<Backend> {
    let Some((_, Ok(told))) = &*ATTACHED else { return backends.to_vec() };
    let attached = |backend: &Backend| Attached { name: backend.name().to_owned(), told: told.clone() };
    backends.iter().map(|backend| Backend::new(attached(backend))).collect()
}

/// The file that tells of the cluster that a backend stands for, if it does.
pub(crate) fn file(backend: &str) -> Option<&'static Path> {
    let (path, told) = ATTACHED.as_ref()?;
    told.as_ref().is_ok_and(|told| told.backend() == backend).then_some(path)
}

/// Why a case of a backend that wants such a cluster cannot have the one that is attached to.
pub(crate) fn refuses(backend: &str, sharing: Sharing) -> Option<&'static str> {
    file(backend)?;
    match sharing {
        Sharing::Shared => None,
        Sharing::Exclusive => {
            Some("it wants its cluster to itself, and SCENARIO_ATTACH names one that others may use")
        }
        Sharing::Fresh => {
            Some("it wants a cluster of its own, and SCENARIO_ATTACH names one that is there already")
        }
    }
}

/// A backend whose clusters are one that is there already.
struct Attached {
    name: String,
    told: Told,
}

impl Deployer for Attached {
    type Cluster = AttachedCluster;

    fn name(&self) -> &str {
        &self.name
    }

    fn in_memory(&self) -> bool {
        true
    }

    async fn available(&self) -> Result<(), Unavailable> {
        if self.told.backend() == self.name {
            return Ok(());
        }
        let missing = format!("SCENARIO_ATTACH names a cluster of backend `{}`", self.told.backend());
        Err(Unavailable { missing, try_next: KEEP.to_owned() })
    }

    async fn provision(&self, plan: &Plan, _: &Placement) -> Result<AttachedCluster, DeployError> {
        let failed = |subject: &str, what: String| DeployError::new(subject, what, KEEP);
        let attachment = match &self.told {
            Told::Kept(attachment) => attachment,
            Told::ByHand(by_hand) => return by_hand.found(plan, ANSWER).await.map(AttachedCluster),
        };
        if !plan.genesis.is_of(&attachment.key) {
            let what = format!(
                "it was kept after {}, whose topology, consensus, accounts or node program are others",
                attachment.case
            );
            return Err(failed("attached cluster", what));
        }
        for node in &attachment.cluster.nodes {
            for address in node.addresses.values() {
                let connected = tokio::time::timeout(ANSWER, TcpStream::connect(address)).await;
                let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                connected
                    .map_err(|error| failed(&node.name, format!("does not answer at {address}: {error}")))?;
            }
        }
        Ok(AttachedCluster(attachment.cluster.clone()))
    }
}

/// The cluster, as far as it can be seen from outside.
struct AttachedCluster(ClusterDescription);

impl Cluster for AttachedCluster {
    fn description(&self) -> &ClusterDescription {
        &self.0
    }

    /// All run, for all that is known; that one does not is seen when it does not answer.
    async fn states(&self, newer_than: u64) -> Result<States, ClusterError> {
        if newer_than > 0 {
            std::future::pending::<()>().await;
        }
        let state = |name: &String| NodeState {
            name: name.clone(),
            status: NodeStatus::Running,
            starts: 1,
            starts_by_us: 1,
        };
        let nodes = self.0.nodes.iter().map(|node| state(&node.name)).collect();
        Ok(States { version: 1, nodes, ..States::default() })
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        let names = || self.0.nodes.iter().map(|node| node.name.as_str());
        let found = self.0.nodes.iter().find(|other| other.name == node);
        let found = found.ok_or_else(|| ClusterError::no_such_node(node, names()))?;
        // What is no file of this machine cannot be read from here.
        Ok(Log::part(&std::fs::read(&found.log).unwrap_or_default(), part))
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_who_attaches_has_what_another_had() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let key = serde_json::from_value(serde_json::json!("00".repeat(32))).unwrap();
        let description =
            ClusterDescription { start_time: SystemTime::UNIX_EPOCH, seen_slot: None, nodes: Vec::new() };
        Attachment::new("local", "local::a", key, description, 13..100).write(&path).unwrap();
        assert_eq!(
            (Attachment::lease(&path).unwrap(), Attachment::lease(&path).unwrap()),
            (1 << 32, (1 << 32) + 1)
        );
        let draw = |count| Attachment::draw(&path, count).unwrap();
        assert_eq!(draw(30), Ok(60..90));
        assert_eq!(draw(30), Ok(30..60));
        assert_eq!(draw(30), Err(17), "they would begin before those that are free");
        assert_eq!(draw(7), Ok(21..28));
        assert_eq!(draw(0), Ok(21..21));
    }
}
