//! When a cluster can be used: every node that starts with it answers, has the peers its layout gives it,
//! executors know who keeps data, and the chain has a first block. A node that ends meanwhile is noticed at once, one that answers like no
//! node of its program within seconds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use crate::context::NodeClients;
use crate::deployer::{DynCluster, LogPart, NodeStatus};
use crate::env;
use crate::failure::{Failure, FailureClass};
use crate::feed::{BlockFeed, NodeView};
use crate::node::NodeClient;
use crate::scenario::Scenario;
use crate::topology::{Consensus, Role};
use crate::wait;

/// What each stage may take.
pub(crate) const STAGE: Duration = Duration::from_secs(60);
/// Lines of a dead node's log in the message.
const LINES: usize = 20;
/// The session in which a chain begins.
const FIRST_SESSION: u64 = 0;
/// So many wrong answers on end, for so long, are no accident of a start. They are few, since on a busy machine each
/// takes its time.
const WRONG_ANSWERS: u32 = 10;
const WRONG_FOR: Duration = Duration::from_secs(3);

/// Waits until the cluster can be used; the result follows its chain, from genesis on where the run is the first on it.
pub(super) async fn until_ready(
    cluster: &dyn DynCluster,
    clients: &NodeClients,
    scenario: &Scenario,
    is_first: bool,
) -> Result<BlockFeed, Failure> {
    let stages = async {
        let starting = Starting::new(cluster, clients, scenario);
        starting.stages().await?;
        let Consensus { slot, security_param, .. } = *scenario.topology().consensus();
        let floor = if is_first {
            0
        } else {
            starting.lowest_height().await.saturating_sub(u64::from(security_param) + 1)
        };
        let feed = BlockFeed::start_above(floor, clients.all(), Arc::clone(&scenario.program), slot);
        let complete = feed.complete(starting.nodes.iter().map(|node| node.client.name()));
        let complete = tokio::time::timeout(env::settings().scaled(STAGE), complete).await;
        complete.map(|()| feed.clone()).map_err(|_| {
            Failure::new(FailureClass::Infrastructure, "ready")
                .expected("every node to tell its chain, block by block")
                .seen_all(feed.nodes().iter().map(NodeView::describe))
        })
    };
    tokio::select! {
        biased;
        failure = first_exit(cluster) => Err(failure),
        ready = stages => ready,
    }
}

/// The nodes that start with a cluster.
struct Starting<'a> {
    cluster: &'a dyn DynCluster,
    nodes: Vec<StartingNode>,
}

struct StartingNode {
    client: NodeClient,
    /// How many peers its layout gives it.
    peers: usize,
    /// Whether it has to know who keeps data.
    disperses: bool,
    wrong: Mutex<Option<WrongAnswers>>,
}

/// Wrong answers on end.
struct WrongAnswers {
    since: Instant,
    count: u32,
}

/// Why a node is not ready.
struct NotReady {
    seen: String,
    /// Whether it will not become so.
    hopeless: bool,
}

impl From<String> for NotReady {
    fn from(seen: String) -> Self {
        Self { seen, hopeless: false }
    }
}

impl StartingNode {
    async fn answers(&self) -> Result<(), NotReady> {
        let Err(error) = self.client.consensus_info().await else { return Ok(()) };
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if error.is_unreachable() {
            *wrong = None;
            return Err(error.to_string().into());
        }
        let WrongAnswers { since, count } =
            wrong.get_or_insert_with(|| WrongAnswers { since: Instant::now(), count: 0 });
        *count += 1;
        let hopeless = *count >= WRONG_ANSWERS && since.elapsed() >= WRONG_FOR;
        Err(NotReady { seen: error.to_string(), hopeless })
    }

    async fn has_peers(&self) -> Result<(), NotReady> {
        match self.client.network_info().await {
            Ok(info) if info.n_peers >= self.peers => Ok(()),
            Ok(info) => Err(format!("{} of at least {} peers", info.n_peers, self.peers).into()),
            Err(error) => Err(error.to_string().into()),
        }
    }

    async fn has_members(&self) -> Result<(), NotReady> {
        if !self.disperses {
            return Ok(());
        }
        match self.client.membership(FIRST_SESSION).await {
            Ok(membership) if membership.assignations.values().any(|members| !members.is_empty()) => Ok(()),
            Ok(_) => Err("knows of no member".to_owned().into()),
            Err(error) => Err(error.to_string().into()),
        }
    }

    async fn has_a_block(&self) -> Result<(), NotReady> {
        match self.client.consensus_info().await {
            Ok(info) if info.height > 0 => Ok(()),
            Ok(info) => Err(format!("height 0, tip {}", info.tip.short()).into()),
            Err(error) => Err(error.to_string().into()),
        }
    }
}

/// What is awaited of every node, one after the other.
#[derive(Clone, Copy)]
enum Stage {
    Answer,
    Peers,
    Members,
    FirstBlock,
}

impl Stage {
    async fn reached_by(self, node: &StartingNode) -> Result<(), NotReady> {
        match self {
            Self::Answer => node.answers().await,
            Self::Peers => node.has_peers().await,
            Self::Members => node.has_members().await,
            Self::FirstBlock => node.has_a_block().await,
        }
    }

    fn words(self) -> &'static Words {
        match self {
            Self::Answer => &ANSWER,
            Self::Peers => &PEERS,
            Self::Members => &MEMBERS,
            Self::FirstBlock => &FIRST_BLOCK,
        }
    }
}

/// What a stage awaits, and what to say where it does not come.
struct Words {
    what: &'static str,
    because: &'static str,
    try_next: &'static str,
}

const ANSWER: Words = Words {
    what: "to answer over HTTP",
    because: "a node opens its HTTP when all else it needs is there: files that its configuration names, \
              ports, other nodes",
    try_next: "read the end of the named nodes' logs for what they wait for; `SLOW_TEST_ENV=true` doubles \
               every timeout",
};
const WRONG: Words = Words {
    what: "to answer over HTTP as the node program's API",
    because: "something answers there, but not as a node of this program",
    try_next: "see that the executable is the one that the node program describes, and that \
               `NodeProgram::http` names the port of its API",
};
const PEERS: Words = Words {
    what: "to have the peers of its layout",
    because: "the node was not reached by those that dial it, or does not reach those that it dials",
    try_next: "read the named nodes' logs for failed connections; `SLOW_TEST_ENV=true` doubles every timeout",
};
const MEMBERS: Words = Words {
    what: "that is an executor to know who keeps data",
    because: "an executor disperses to the members that it knows, and has none",
    try_next: "read the named executors' logs for the members of the first session",
};
const FIRST_BLOCK: Words = Words {
    what: "to have a first block",
    because: "no node made a block, or it did not get to this one",
    try_next: "read the named nodes' logs for their leadership and the chain's start time; \
               `SLOW_TEST_ENV=true` doubles every timeout",
};

impl<'a> Starting<'a> {
    fn new(cluster: &'a dyn DynCluster, clients: &NodeClients, scenario: &Scenario) -> Self {
        let topology = scenario.topology();
        let keeps_data = scenario.program.data().is_some() && scenario.program.http().testing_port.is_some();
        let planned = topology.nodes().iter().zip(clients.all()).enumerate();
        let starting = planned.filter(|(_, (node, _))| !node.late);
        let node = |(index, (_, client)): (usize, (_, &NodeClient))| StartingNode {
            client: client.clone(),
            peers: topology.peers_at_start(index),
            disperses: keeps_data && client.role() == Role::Executor,
            wrong: Mutex::default(),
        };
        Self { cluster, nodes: starting.map(node).collect() }
    }

    async fn stages(&self) -> Result<(), Failure> {
        for stage in [Stage::Answer, Stage::Peers, Stage::Members, Stage::FirstBlock] {
            self.stage(stage).await?;
        }
        Ok(())
    }

    /// The height that every node has.
    async fn lowest_height(&self) -> u64 {
        let infos = join_all(self.nodes.iter().map(|node| node.client.consensus_info())).await;
        infos.into_iter().map(|info| info.map_or(0, |info| info.height)).min().unwrap_or(0)
    }

    /// Waits until every node has reached the stage, or one never will; the failure tells each node's last
    /// answer.
    async fn stage(&self, stage: Stage) -> Result<(), Failure> {
        let within = env::settings().scaled(STAGE);
        let waited = wait::until(stage.words().what, within, || {
            let answers = join_all(self.nodes.iter().map(|node| stage.reached_by(node)));
            async {
                let answers = answers.await;
                let hopeless = answers.iter().any(|answer| matches!(answer, Err(not) if not.hopeless));
                if hopeless || answers.iter().all(Result::is_ok) { Ok(answers) } else { Err(answers) }
            }
        })
        .await;
        match waited {
            Ok(answers) if answers.iter().all(Result::is_ok) => Ok(()),
            Ok(answers) => Err(self.failure(&WRONG, String::new(), answers).await),
            Err(timed_out) => {
                let within = format!(" within {}", humantime::format_duration(timed_out.within));
                Err(self.failure(stage.words(), within, timed_out.last.unwrap_or_default()).await)
            }
        }
    }

    async fn failure(&self, words: &Words, within: String, answers: Vec<Result<(), NotReady>>) -> Failure {
        let mut failure = Failure::new(FailureClass::Infrastructure, "ready")
            .expected(format!("every node {}{within}", words.what))
            .try_next(words.try_next);
        let answers = answers.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        let mut behind = Vec::new();
        for (node, answer) in self.nodes.iter().zip(answers) {
            let name = node.client.name();
            let seen = match answer {
                Some(Ok(())) => "is so".to_owned(),
                Some(Err(not)) => not.seen,
                None => "no answer".to_owned(),
            };
            if seen != "is so" {
                behind.push(name);
            }
            failure = failure.seen(format!("{name}: {seen}"));
        }
        failure = failure.because(format!("{}: {}", behind.join(", "), words.because));
        for node in behind {
            failure = with_log(self.cluster, node, failure).await;
        }
        failure
    }
}

/// Completes when a node ended that should run.
async fn first_exit(cluster: &dyn DynCluster) -> Failure {
    let mut version = 0;
    loop {
        let states = match cluster.states(version).await {
            Ok(states) => states,
            Err(error) => {
                return Failure::new(FailureClass::Infrastructure, "ready").seen(error.to_string());
            }
        };
        version = states.version;
        if let Some(how) = states.broken {
            return Failure::new(FailureClass::Infrastructure, "ready").seen(how);
        }
        let ended = states.nodes.iter().find_map(|node| match &node.status {
            NodeStatus::Exited(how) => Some((&node.name, how)),
            _ => None,
        });
        if let Some((node, how)) = ended {
            let failure = Failure::new(FailureClass::Infrastructure, "ready")
                .expected(format!("{node} to start and keep running"))
                .seen(format!("{node} ended by itself with {how}"))
                .try_next("the last lines of its log mostly say why");
            return with_log(cluster, node, failure).await;
        }
    }
}

async fn with_log(cluster: &dyn DynCluster, node: &str, failure: Failure) -> Failure {
    let place = cluster.description().nodes.iter().find(|endpoints| endpoints.name == node);
    let failure = place.into_iter().fold(failure, |failure, endpoints| failure.look(&endpoints.log));
    match cluster.logs(node, LogPart::Last(LINES)).await {
        Ok(log) if log.text.trim().is_empty() => failure.seen(format!("{node}'s log is empty")),
        Ok(log) => failure.seen(format!("last lines of {node}'s log:\n{}", log.text.trim_end())),
        Err(error) => failure.seen(format!("{node}'s log cannot be read: {error}")),
    }
}
