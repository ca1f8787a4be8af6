//! The promises of `Deployer`.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use futures::future::{join_all, try_join_all};
use logos_scenario::deployer::{Cluster, NodeAction, NodeStatus, Placement};
use logos_scenario::faults::{Link, NetworkFault};
use logos_scenario::plan::symbol;
use logos_scenario::{Deployer, Topology, wait};

use crate::Outcome;
use crate::subject::{GONE_WITHIN, Subject, WITHIN, placement, subjects, validators};

pub(crate) async fn availability_is_told_soon(subject: Subject) -> Outcome {
    let told = tokio::time::timeout(Duration::from_secs(2), subject.backend.available()).await;
    told.context("no answer within two seconds")?.context("it was available when this program started")
}

pub(crate) async fn every_node_is_started(subject: Subject) -> Outcome {
    let fixture = subject.provision(&subject.plan(Topology::with_node_counts(3, 1))?).await?;
    for state in fixture.cluster.states(0).await?.nodes {
        ensure!(state.status == NodeStatus::Running, "{} is {}", state.name, state.status);
        ensure!((state.starts, state.starts_by_us) == (1, 1), "{state:?}");
    }
    try_join_all(fixture.names().iter().map(|node| fixture.reaches(node, 1))).await?;
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn a_late_node_is_started_on_demand(subject: Subject) -> Outcome {
    let topology = validators(2).with_node("validator-1", |node| node.late().stake(1));
    let fixture = subject.provision(&subject.plan(topology)?).await?;
    fixture.reaches("validator-0", 1).await?;
    let state = fixture.state("validator-1").await?;
    ensure!(state.status == NodeStatus::Stopped && state.starts == 0, "{state:?}");
    fixture.is_silent("validator-1").await?;
    fixture.cluster.control("validator-1", NodeAction::Start).await?;
    let state = fixture.state("validator-1").await?;
    ensure!((state.starts, state.starts_by_us) == (1, 1), "{state:?}");
    fixture.reaches("validator-1", 2).await?;
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn a_refused_plan_leaves_nothing(subject: Subject) -> Outcome {
    let mut plan = subject.plan(validators(2))?;
    plan.nodes[1].files[0].text.push_str(&symbol::host("nobody"));
    let (directory, place) = placement()?;
    let error =
        subject.backend.provision(&plan, &place).await.err().context("the plan cannot be rendered")?;
    ensure!(error.subject == "validator-1" && error.to_string().contains("${host:nobody}"), "{error}");
    is_empty(directory.path()).map_err(|left| anyhow!("left: {left}"))
}

/// But for the note of what others had left, such as the owner that is killed beside this.
fn is_empty(directory: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(directory).map_err(|error| error.to_string())?.flatten();
    let mut entries = entries.filter(|entry| entry.file_name() != Placement::SWEPT);
    entries.next().map_or(Ok(()), |entry| Err(entry.path().display().to_string()))
}

pub(crate) async fn a_provision_that_is_given_up_leaves_nothing(subject: Subject) -> Outcome {
    let plan = subject.plan(validators(3))?;
    for patience in [0, 1, 3, 10, 30, 100, 300, 1_000] {
        let (directory, place) = placement()?;
        let patience = Duration::from_millis(patience);
        if let Ok(done) = tokio::time::timeout(patience, subject.backend.provision(&plan, &place)).await {
            done?.teardown().await?;
            break;
        }
        wait::until("an empty directory", GONE_WITHIN, async || is_empty(directory.path()))
            .await
            .map_err(|error| anyhow!("given up after {patience:?}: {error}"))?;
    }
    // Nothing that is left is in the way of the next cluster.
    Ok(subject.answering(validators(3)).await?.cluster.teardown().await?)
}

pub(crate) async fn sixteen_clusters_of_one_plan_do_not_notice_each_other(subject: Subject) -> Outcome {
    let plan = subject.plan(validators(1))?;
    let fixtures = join_all((0..16).map(|_| subject.provision(&plan))).await;
    let fixtures = fixtures.into_iter().collect::<Result<Vec<_>, _>>()?;
    try_join_all(fixtures.iter().map(|fixture| fixture.reaches("validator-0", 1))).await?;
    let (ending, going_on) = fixtures.split_at(8);
    try_join_all(ending.iter().map(|fixture| fixture.cluster.teardown())).await?;
    for fixture in going_on {
        fixture.expect_status("validator-0", &NodeStatus::Running).await?;
        fixture.reaches("validator-0", 2).await?;
    }
    try_join_all(going_on.iter().map(|fixture| fixture.cluster.teardown())).await?;
    Ok(())
}

/// The first argument of this program when it is to own a cluster until it is killed.
pub(crate) const OWNER: &str = "own-a-cluster";
const OWNS: &str = "owns ";
const ALL: &str = "that is all";

/// Makes a cluster of a backend, prints where its nodes are, and goes on until it is killed.
pub(crate) fn own(backend: &str) -> ExitCode {
    let subject = subjects().into_iter().find(|subject| subject.backend.name() == backend);
    let outcome: Outcome = crate::block_on(async {
        let fixture = subject.context("no such backend")?.answering(validators(2)).await?;
        for node in &fixture.cluster.description().nodes {
            println!("{OWNS}{}", node.addresses["http"]);
        }
        println!("{ALL}");
        std::future::pending().await
    });
    eprintln!("{outcome:?}");
    ExitCode::FAILURE
}

/// Ends the owner, should the test end early.
struct Owner(Child);

impl Drop for Owner {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn nothing_outlives_a_killed_owner(subject: Subject) -> Outcome {
    #[expect(clippy::disallowed_methods, reason = "this program runs itself as the owner")]
    let mut command = Command::new(std::env::current_exe()?);
    let command = command.args([OWNER, subject.backend.name()]).stdout(Stdio::piped());
    let mut owner = Owner(command.spawn()?);
    let stdout = owner.0.stdout.take().context("it is piped")?;
    let lines = BufReader::new(stdout).lines().map_while(Result::ok).take_while(|line| line != ALL);
    let addresses: Vec<_> = lines.filter_map(|line| Some(line.strip_prefix(OWNS)?.to_owned())).collect();
    ensure!(addresses.len() == 2, "the owner's cluster has addresses {addresses:?}");
    drop(owner);
    let gone = || async {
        let reached = addresses.iter().find(|address| accepts(address));
        reached.map_or(Ok(()), |address| Err(format!("{address} can be reached")))
    };
    wait::until("the end of all nodes", GONE_WITHIN, gone).await.map_err(|error| anyhow!("{error}"))
}

/// Whether somebody listens there; nobody does behind an address in memory.
fn accepts(address: &str) -> bool {
    let address: Option<SocketAddr> = address.parse().ok();
    address.is_some_and(|address| TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok())
}

pub(crate) async fn sweeping_spares_the_living(subject: Subject) -> Outcome {
    let fixture = subject.answering(validators(2)).await?;
    let before = fixture.cluster.states(0).await?;
    subject.backend.sweep().await?;
    ensure!(fixture.cluster.states(0).await? == before, "sweeping changed a cluster of a living owner");
    for node in fixture.names() {
        fixture.answers(&node).await?;
    }
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn capabilities_are_true(subject: Subject) -> Outcome {
    let fixture = subject.answering(validators(2)).await?;
    let capabilities = subject.backend.capabilities();
    let actions = [
        (capabilities.pause, NodeAction::Pause),
        (capabilities.pause, NodeAction::Resume),
        (capabilities.isolate, NodeAction::Isolate),
        (capabilities.isolate, NodeAction::Rejoin),
        (capabilities.node_control, NodeAction::Stop),
        (capabilities.node_control, NodeAction::Start),
        (capabilities.node_control, NodeAction::Restart),
        (capabilities.isolate, NodeAction::Isolate),
        (capabilities.isolate, NodeAction::Rejoin),
        (capabilities.node_control, NodeAction::Kill),
    ];
    for (named, action) in actions {
        let done = tokio::time::timeout(WITHIN, fixture.cluster.control("validator-1", action)).await;
        let done = done.with_context(|| format!("{action} takes more than {WITHIN:?}"))?;
        ensure!(done.is_ok() == named, "{action} is named {named}, and came to {done:?}");
        if named && matches!(action, NodeAction::Start | NodeAction::Restart) {
            // A node that is cut off before it listens has no address to listen on, and ends.
            fixture.answers("validator-1").await?;
        }
    }
    let same = subject.plan(validators(2))?.nodes.remove(1);
    let done = fixture.cluster.replan(same).await;
    ensure!(done.is_ok() == capabilities.replan, "replan is {}, and came to {done:?}", capabilities.replan);
    fixture.cluster.teardown().await?;

    let relayed = subject.relayed(validators(2)).await?;
    let loss = NetworkFault::Loss { link: Link::new("validator-0", "validator-1"), percent: 1 };
    let faults = [
        (capabilities.network_faults, NetworkFault::Isolate("validator-1".into())),
        (capabilities.shaping, loss),
    ];
    for (named, fault) in faults {
        let done = relayed.cluster.disturb(vec![fault.clone()]).await;
        ensure!(done.is_ok() == named, "`{fault}` is named {named}, and came to {done:?}");
    }
    Ok(relayed.cluster.teardown().await?)
}

/// A file, an image and a program in memory stay as they are while this runs; that another is told apart is the
/// backends' own to test.
pub(crate) async fn the_identity_is_that_of_what_runs(subject: Subject) -> Outcome {
    let plan = subject.plan(validators(2))?;
    let identity = subject.backend.identity(&plan).await?;
    ensure!(subject.backend.identity(&plan).await? == identity, "{identity} is told otherwise now");
    let larger = subject.plan(validators(3))?;
    ensure!(subject.backend.identity(&larger).await? == identity, "{identity} is what all nodes run");
    Ok(())
}
