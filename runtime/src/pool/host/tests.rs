//! A host and clusters in memory that break.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Backend, Call, ClusterError, Host, HostHandle, Reply, Request};
use crate::case::Sharing;
use crate::deployer::{Cluster, ClusterDescription, DeployError, Deployer, Log, LogPart, Placement, States};
use crate::failure::FailureClass;
use crate::fake::{FakeCluster, FakeDeployer, FakeProgram};
use crate::plan::Plan;
use crate::pool::ledger::{Keeping, Listed, Released, Stage};
use crate::pool::wire::{Link, Owning, Plans};
use crate::process::Process;
use crate::scenario::{Scenario, ScenarioBuilder, ScenarioBuilderExt as _};
use crate::topology::Topology;
use crate::wait;

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);

/// A step at which the backend panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Provision,
    States,
    Teardown,
    /// It does not panic, but never comes to an end.
    Ending,
}

struct Breaks(At);

struct BreakingCluster(FakeCluster, At);

impl Deployer for Breaks {
    type Cluster = BreakingCluster;

    fn name(&self) -> &str {
        "breaks"
    }

    async fn provision(&self, plan: &Plan, place: &Placement) -> Result<BreakingCluster, DeployError> {
        assert_ne!(self.0, At::Provision, "no nodes today");
        Ok(BreakingCluster(FakeDeployer::default().provision(plan, place).await?, self.0))
    }
}

impl Cluster for BreakingCluster {
    fn description(&self) -> &ClusterDescription {
        self.0.description()
    }

    async fn states(&self, newer_than: u64) -> Result<States, ClusterError> {
        assert_ne!(self.1, At::States, "no states today");
        self.0.states(newer_than).await
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        self.0.logs(node, part).await
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        assert_ne!(self.1, At::Teardown, "no end today");
        if self.1 == At::Ending {
            std::future::pending::<()>().await;
        }
        self.0.teardown().await
    }

    fn connect(&self, address: &str) -> Arc<dyn crate::node::Transport> {
        self.0.connect(address)
    }
}

fn scenario() -> Scenario {
    let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(1, 0)).with_program(FakeProgram);
    builder.expect_consensus_liveness().with_run_duration(Duration::from_secs(60)).build().unwrap()
}

/// A client that asked for a shared cluster.
struct Asking {
    link: Link,
    backend: Backend,
}

impl Asking {
    fn of(host: &HostHandle, backend: &Backend) -> Self {
        Self::for_use(host, backend, Sharing::Shared)
    }

    fn for_use(host: &HostHandle, backend: &Backend, sharing: Sharing) -> Self {
        let (link, scenario) = (host.link(), scenario());
        let key = scenario.key(backend.name());
        let wish = crate::pool::wish(&scenario, &key, "case", sharing);
        let _: Result<(), _> = link.requests.send(Request::Attach(wish));
        Self { link, backend: backend.clone() }
    }

    /// The next reply that is no progress, with the plan provided if need be.
    async fn reply(&mut self) -> Reply {
        let next = async {
            loop {
                match self.link.replies.recv().await.expect("the host lives") {
                    Reply::Waiting(_) => {}
                    Reply::Provide => self.provide(),
                    reply => return reply,
                }
            }
        };
        tokio::time::timeout(WITHIN, next).await.expect("the host replies")
    }

    fn provide(&self) {
        let (scenario, backend) = (scenario(), &self.backend);
        let order = crate::pool::order(backend, &scenario, scenario.key(backend.name()));
        self.link.requests.send(Request::Provide(Box::new(order))).unwrap_or_default();
    }

    async fn listed(&mut self) -> Vec<Listed> {
        self.link.requests.send(Request::List).unwrap_or_default();
        let Reply::Clusters(listed) = self.reply().await else { panic!("no list") };
        listed
    }

    /// Until it is told that it waits for room.
    async fn lacks_room(&mut self) {
        let waits = async {
            loop {
                match self.link.replies.recv().await.expect("the host lives") {
                    Reply::Provide => self.provide(),
                    Reply::Waiting(what) if what.starts_with("waiting for room") => return,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(WITHIN, waits).await.expect("it is told what it waits for");
    }

    /// Until it is told what it waits for.
    async fn waits(&mut self) {
        let waits = async { while !matches!(self.link.replies.recv().await, Some(Reply::Waiting(_))) {} };
        tokio::time::timeout(WITHIN, waits).await.expect("it is told");
    }

    async fn granted(&mut self) {
        let reply = self.reply().await;
        assert!(matches!(reply, Reply::Granted(_)), "{}", serde_json::to_string(&reply).unwrap());
    }

    async fn call(&mut self, call: Call) -> Answer {
        self.link.requests.send(Request::Call { id: 7, call }).unwrap_or_default();
        match self.reply().await {
            Reply::Answer { id: 7, answer } => answer,
            other => panic!("no answer: {}", serde_json::to_string(&other).unwrap()),
        }
    }

    async fn released(&mut self) -> Released {
        match self.call(Call::Release { passed: true }).await {
            Answer::Released(released) => released,
            other => panic!("not released: {}", serde_json::to_string(&other).unwrap()),
        }
    }
}

/// A host whose backend panics at a step.
fn host(at: At) -> (HostHandle, Backend) {
    host_of(Backend::new(Breaks(at)), 1_000)
}

fn host_of(backend: Backend, most: usize) -> (HostHandle, Backend) {
    let (host, handle) = Host::new(vec![backend.clone()], Arc::new(FakeProgram), most, false);
    tokio::spawn(host.run());
    (handle, backend)
}

#[tokio::test]
async fn who_waits_is_told_when_the_deployer_panics() {
    let (host, backend) = host(At::Provision);
    for _ in 0..2 {
        let mut asking = Asking::of(&host, &backend);
        let Reply::Refused(failure) = asking.reply().await else { panic!("there is no cluster to be had") };
        assert_eq!(failure.class, FailureClass::Infrastructure);
        assert!(failure.to_string().contains("no nodes today"), "{failure}");
    }
}

#[tokio::test]
async fn a_look_that_panics_finds_the_cluster_unwell() {
    let (host, backend) = host(At::States);
    let (mut one, mut other) = (Asking::of(&host, &backend), Asking::of(&host, &backend));
    one.granted().await;
    other.granted().await;
    let Answer::Failed(error) = one.call(Call::States { newer_than: 0 }).await else { panic!("no states") };
    assert!(error.to_string().contains("no states today"), "{error}");
    one.released().await;
    let poison = other.released().await.poison.expect("it is not well");
    assert!(poison.to_string().contains("no states today"), "{poison}");
}

#[tokio::test]
async fn a_cluster_without_its_relay_is_used_no_more() {
    let (host, backend) = host_of(Backend::new(FakeDeployer::default().losing_its_relay_at(0)), 1_000);
    let mut asking = Asking::of(&host, &backend);
    asking.granted().await;
    let poison = asking.released().await.poison.expect("it is not well");
    assert!(poison.to_string().contains("the fake relay has ended"), "{poison}");
}

#[tokio::test]
async fn a_cluster_whose_node_was_planned_anew_is_used_no_more() {
    let (host, backend) = host_of(Backend::new(FakeDeployer::default()), 1_000);
    let mut asking = Asking::of(&host, &backend);
    asking.granted().await;
    let node = Box::new(scenario().plan(backend.name()).nodes.remove(0));
    let replanned = asking.call(Call::Replan { node }).await;
    assert!(matches!(replanned, Answer::Replanned(Ok(()))), "{}", serde_json::to_string(&replanned).unwrap());
    let poison = asking.released().await.poison.expect("it is not as others plan it");
    assert!(poison.to_string().contains("validator-0 was planned anew by a scenario"), "{poison}");
}

#[tokio::test]
async fn a_teardown_that_panics_leaves_something() {
    let (host, backend) = host(At::Teardown);
    let mut asking = Asking::of(&host, &backend);
    asking.granted().await;
    let left = asking.released().await.left.expect("something is left");
    assert!(left.contains("no end today"), "{left}");
}

#[tokio::test]
async fn a_call_whose_cluster_is_gone_is_answered() {
    let (host, backend) = host(At::Ending);
    let (mut before, mut leased) = (Asking::of(&host, &backend), Asking::of(&host, &backend));
    let lost =
        |answer: &Answer| matches!(answer, Answer::Failed(error) if error.to_string().contains("ended it"));
    assert!(lost(&before.call(Call::States { newer_than: 0 }).await), "it has no cluster yet");
    before.granted().await;
    leased.granted().await;
    host.end();
    for call in [Call::States { newer_than: 0 }, Call::Draw { count: 1 }, Call::Release { passed: true }] {
        assert!(lost(&leased.call(call).await), "the host ends its clusters");
    }
}

#[tokio::test]
async fn who_asks_for_a_cluster_alone_is_not_overtaken() {
    let (host, backend) = host_of(Backend::new(FakeDeployer::default()), 1_000);
    let mut first = Asking::of(&host, &backend);
    first.granted().await;
    let mut alone = Asking::for_use(&host, &backend, Sharing::Exclusive);
    alone.waits().await;
    let mut last = Asking::of(&host, &backend);
    last.waits().await;
    first.released().await;
    alone.granted().await;
    while let Ok(reply) = last.link.replies.try_recv() {
        assert!(matches!(reply, Reply::Waiting(_)), "{}", serde_json::to_string(&reply).unwrap());
    }
    alone.released().await;
    last.granted().await;
}

#[tokio::test]
async fn a_host_gives_its_idle_cluster_up_for_the_room_that_another_lacks() {
    const MOST: usize = 1;
    let backend = Backend::new(FakeDeployer::default());
    let ((host, _), (other, _)) = (host_of(backend.clone(), MOST), host_of(backend.clone(), MOST));
    let mut asking = Asking::of(&host, &backend);
    let keeping = Keeping { grace: None, linger: Duration::ZERO };
    let owning = Owning { owner: Process::this(), keeping };
    asking.link.requests.send(owning.said(Plans::new())).unwrap_or_default();
    asking.granted().await;

    let mut waiting = Asking::of(&other, &backend);
    waiting.lacks_room().await;
    let mut listing = Asking { link: other.link(), backend: backend.clone() };
    let listed = listing.listed().await;
    let waits: Vec<_> = listed[0].waiting.iter().map(|it| (it.case.as_str(), it.pid)).collect();
    assert_eq!((listed[0].stage, &waits[..]), (Stage::Waiting, &[("case", std::process::id())][..]));

    asking.released().await;
    // A host that has much to do looks all the same.
    let mut busy = Asking { link: host.link(), backend };
    let keeps_busy = async {
        loop {
            busy.listed().await;
            wait::pause(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = waiting.granted() => {}
        () = keeps_busy => {}
    }
}

#[tokio::test]
async fn a_host_whose_cluster_is_never_idle_gives_it_up_for_the_room_that_another_lacks() {
    const MOST: usize = 1;
    let backend = Backend::new(FakeDeployer::default());
    let ((host, _), (other, _)) = (host_of(backend.clone(), MOST), host_of(backend.clone(), MOST));
    let mut last = Asking::of(&host, &backend);
    last.granted().await;
    let mut waiting = Asking::of(&other, &backend);
    waiting.lacks_room().await;
    let one_after_the_other = async {
        loop {
            let mut next = Asking::of(&host, &backend);
            let reply = next.link.replies.recv().await;
            last.released().await;
            if !matches!(reply, Some(Reply::Granted(_))) {
                return;
            }
            last = next;
        }
    };
    tokio::join!(waiting.granted(), one_after_the_other);
}
