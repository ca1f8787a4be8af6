//! What was published can be had from the network.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rand::seq::SliceRandom;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Expectation;
use crate::context::RunContext;
use crate::deployer::{LogPart, NodeStatus};
use crate::env;
use crate::failure::{Failure, FailureClass};
use crate::feed::{Event, Subscription};
use crate::node::{BlobId, NodeClient, ShareRequest};
use crate::runner::{NodeControl, STAGE};
use crate::topology::Role;
use crate::wait::{pause, until};
use crate::workload::{BlobEntries, BlobFate, BlobLog, BlobSummary, Retrieval, payload};

/// Every blob that an executor dispersed is in a block of every node's chain, and can be read back from
/// other nodes, byte for byte; no dispersal is refused by all executors.
///
/// Each blob is read back as soon as it is in a block, from nodes other than the executor that dispersed it.
/// Where the scenario controls nodes, all of them are read back once more at the end while that executor is
/// stopped. Counts, losses and latencies are in the report. Brought by [`Blobs`](crate::workload::Blobs).
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::fake::{self, FakeDeployer, FakeProgram, Fault};
/// # use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
/// fake::in_no_time(async {
///     let scenario = ScenarioBuilder::with_topology(Topology::with_node_counts(2, 1))
///         .with_program(FakeProgram)
///         .da_with(|da| da.blob_rate(1))
///         .with_run_duration(Duration::from_secs(60))
///         .build()?;
///     FakeDeployer::default().run(&scenario).await?;
///
///     let faulty = FakeDeployer::default().with_fault("executor-0", 0, Fault::DropDispersals);
///     let failed = faulty.run(&scenario).await.expect_err("nothing is dispersed");
///     assert!(failed.to_string().starts_with("BlobAvailability failed (product)"));
///     Ok(())
/// });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BlobAvailability;

/// How many losses a message lists.
const LISTED: usize = 5;
/// Blobs that are read back at once.
const AT_ONCE: usize = 16;
/// Until a blob is read again that could not be restored; twice that after each further try, so that what
/// is lost costs nodes little.
const RETRY: Duration = Duration::from_millis(500);
/// Lines of the log of an executor that does not come back in the message.
const LINES: usize = 12;

impl Expectation for BlobAvailability {
    /// Blocks since before the first blob.
    type Baseline = Subscription;

    fn name(&self) -> &str {
        "BlobAvailability"
    }

    fn explained_by(&self) -> &'static [&'static str] {
        super::EXPLAIN_A_LOSS
    }

    async fn capture(&self, cx: &RunContext) -> Result<Subscription, Failure> {
        let (log, feed) = (cx.state::<BlobLog>(), cx.feed().clone());
        cx.await_pending(move || log.lock().outstanding(&feed));
        Ok(cx.feed().subscribe())
    }

    async fn judge(&self, cx: &RunContext, mut events: Subscription) -> Result<(), Failure> {
        let log = cx.state::<BlobLog>();
        let mut reading = JoinSet::new();
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        // Of a run that is over the workload recalls what was read.
        let reads = cx.recording().is_none();
        let settled = cx.settled();
        tokio::pin!(settled);
        loop {
            tokio::select! {
                biased;
                event = events.next() => match event {
                    Event::Block(block) => for place in log.observe(&block).into_iter().filter(|_| reads) {
                        reading.spawn(read_back(cx.clone(), Arc::clone(&permits), place));
                    },
                    Event::Finalized { id } => log.observe_final(id),
                    Event::Reorg { .. } | Event::Lagged { .. } => {}
                },
                Some(_) = reading.join_next() => {}
                () = &mut settled => break,
            }
        }
        reading.shutdown().await;
        let mut back = Ok(());
        if reads {
            read_again(cx, &log).await;
            back = read_without_executors(cx, &log).await;
        }
        let entries = log.lock();
        let summary = BlobSummary::new(cx, &entries);
        cx.report("blobs", &summary);
        if let Err(error) = entries.list(cx) {
            tracing::warn!("blobs.jsonl cannot be written into {}: {error}", cx.directory().display());
        }
        back?;
        verdict(cx, &entries, &summary)
    }
}

/// Reads a blob back until that succeeds; whoever judges ends it.
async fn read_back(cx: RunContext, permits: Arc<Semaphore>, place: usize) {
    let log = cx.state::<BlobLog>();
    let mut again_after = RETRY;
    loop {
        let permit = permits.acquire().await;
        let retrieval = retrieve(&cx, place).await;
        drop(permit);
        let again = matches!(retrieval, Retrieval::Failed { .. });
        log.lock().fates[place].retrieval = Some(retrieval);
        if !again {
            return;
        }
        pause(again_after).await;
        again_after *= 2;
    }
}

/// Reads once more, now that all has settled, what could not be restored or was not read yet.
async fn read_again(cx: &RunContext, log: &BlobLog) {
    let fails = |(place, fate): (usize, &BlobFate)| {
        let read = matches!(fate.retrieval, Some(Retrieval::Same { .. } | Retrieval::Different { .. }));
        (!fate.blocks.is_empty() && !read).then_some(place)
    };
    let places: Vec<usize> = log.lock().fates.iter().enumerate().filter_map(fails).collect();
    for (place, retrieval) in retrieve_all(cx, places).await {
        log.lock().fates[place].retrieval = Some(retrieval);
    }
}

async fn retrieve_all(cx: &RunContext, places: Vec<usize>) -> Vec<(usize, Retrieval)> {
    let reading = futures::stream::iter(places).map(async |place| (place, retrieve(cx, place).await));
    reading.buffer_unordered(AT_ONCE).collect().await
}

/// Restores a blob from the shares that nodes other than its executor give, one node after the other.
async fn retrieve(cx: &RunContext, place: usize) -> Retrieval {
    let log = cx.state::<BlobLog>();
    let (fate, size) = {
        let entries = log.lock();
        (entries.fates[place].clone(), entries.size)
    };
    let Some(blob) = fate.id() else { return Retrieval::Failed { said: Vec::new() } };
    let executor = fate.dispersed().map(|dispersed| Arc::clone(&dispersed.by));
    let mut nodes = cx.node_clients().all().to_vec();
    if nodes.len() > 1 {
        nodes.retain(|node| executor.as_deref() != Some(node.name()));
    }
    nodes.shuffle(&mut cx.seed(&format!("reading blob {}", fate.number)));
    let wanted = ShareRequest {
        blob_id: blob,
        requested_shares: Vec::new(),
        filter_shares: Vec::new(),
        return_available: true,
    };
    let (mut shares, mut from, mut said) = (Vec::new(), Vec::new(), Vec::new());
    for node in &nodes {
        match node.shares(&wanted).await {
            Ok(given) if given.is_empty() => said.push(format!("{} has no share", node.name())),
            Ok(given) => {
                shares.extend(given);
                from.push(node.name().to_owned());
                match restore(cx, blob, size, shares.clone()).await {
                    Ok(data) => return compared(cx, &fate, &data, from),
                    Err(error) => said.push(format!("with the shares of {}: {error}", node.name())),
                }
            }
            Err(error) => said.push(error.to_string()),
        }
    }
    Retrieval::Failed { said }
}

async fn restore(
    cx: &RunContext,
    blob: BlobId,
    size: usize,
    shares: Vec<serde_json::Value>,
) -> Result<Vec<u8>, String> {
    let program = Arc::clone(cx.program());
    let restored = tokio::task::spawn_blocking(move || {
        program.data().ok_or("the node program keeps no data available")?.restore(blob, size, &shares)
    });
    restored.await.unwrap_or_else(|error| Err(error.to_string()))
}

fn compared(cx: &RunContext, fate: &BlobFate, data: &[u8], from: Vec<String>) -> Retrieval {
    let published = payload(cx.run_seed(), fate.number, data.len());
    let differs = published.iter().zip(data).position(|(one, other)| one != other);
    match differs {
        None => Retrieval::Same { from, at: Instant::now() },
        Some(byte) => Retrieval::Different { from, how: format!("byte {byte} of {} differs", data.len()) },
    }
}

/// Reads all blobs of each executor back while it is stopped, where the scenario controls nodes.
async fn read_without_executors(cx: &RunContext, log: &BlobLog) -> Result<(), Failure> {
    let Ok(control) = cx.control() else { return Ok(()) };
    if cx.was_cut_short() {
        return Ok(());
    }
    for executor in cx.node_clients().with_role(Role::Executor) {
        let is_its = |(place, fate): (usize, &BlobFate)| {
            let its = fate.dispersed().is_some_and(|dispersed| *dispersed.by == *executor.name());
            (its && fate.retrieval.as_ref().is_some_and(Retrieval::is_same)).then_some(place)
        };
        let places: Vec<usize> = log.lock().fates.iter().enumerate().filter_map(is_its).collect();
        if places.is_empty() || control.stop(executor.name()).await.is_err() {
            // It is down already, or has nothing that others would have to have.
            continue;
        }
        for (place, retrieval) in retrieve_all(cx, places).await {
            log.lock().fates[place].without_executor = Some(retrieval);
        }
        come_back(cx, &control, executor).await?;
    }
    Ok(())
}

/// Starts an executor again, and waits until it answers, or ends.
async fn come_back(cx: &RunContext, control: &NodeControl, executor: &NodeClient) -> Result<(), Failure> {
    let name = executor.name();
    let answers = || async {
        let Err(error) = executor.consensus_info().await else { return Ok(Ok(())) };
        match control.state(name).await {
            Ok(state) if matches!(state.status, NodeStatus::Exited(_)) => Ok(Err(state.status)),
            Ok(_) | Err(_) => Err(error),
        }
    };
    let seen = match control.start(name).await {
        Err(error) => error.to_string(),
        Ok(()) => match until("the executor to answer", env::settings().scaled(STAGE), answers).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(ended)) => format!("it {ended}"),
            Err(timed_out) => timed_out.to_string(),
        },
    };
    Err(not_back(cx, control, name, seen).await)
}

async fn not_back(cx: &RunContext, control: &NodeControl, name: &str, seen: String) -> Failure {
    let state = control.state(name).await.map_or_else(|error| error.to_string(), |it| it.status.to_string());
    let log = cx.node_log(name, LogPart::Last(LINES)).await;
    let log = log.map_or_else(
        |error| format!("its log cannot be read: {error}"),
        |log| format!("last lines of its log:\n{}", log.trim_end()),
    );
    Failure::new(FailureClass::Infrastructure, "BlobAvailability")
        .expected(format!("{name} to come back after it was stopped to read its blobs without it"))
        .seen_all([seen, format!("its process: {state}"), log])
        .look(cx.log_place(name))
        .try_next("read the end of its log for what it waits for, or why it ended")
}

fn verdict(cx: &RunContext, entries: &BlobEntries, summary: &BlobSummary) -> Result<(), Failure> {
    let losses = losses(cx, entries);
    if losses.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(FailureClass::Product, "BlobAvailability")
        .expected(format!(
            "all {} blobs that were handed to executors in a block of every node's chain within {}, and to be had from other nodes as they were published",
            entries.fates.len(),
            humantime::format_duration(cx.time_to_land())
        ))
        .seen(summary.counts())
        .seen_all(losses.iter().take(LISTED).map(|loss| loss.text.clone()));
    if losses.len() > LISTED {
        failure = failure.seen(format!("… and {} more", losses.len() - LISTED));
    }
    let places: BTreeSet<String> =
        losses.iter().take(LISTED).filter_map(|loss| Some(cx.log_place(loss.executor.as_deref()?))).collect();
    Err(places
        .into_iter()
        .chain([cx.directory().join("blobs.jsonl").display().to_string()])
        .fold(failure, Failure::look)
        .because(because(&losses))
        .try_next("follow one blob's id through the logs of its executor and of the nodes named"))
}

struct Loss {
    stage: Stage,
    text: String,
    executor: Option<Arc<str>>,
}

/// How far a lost blob came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Handed,
    Dispersed,
    Included,
}

fn because(losses: &[Loss]) -> String {
    match losses.iter().map(|loss| loss.stage).min() {
        Some(Stage::Handed) => "executors refused to disperse data".to_owned(),
        Some(stage @ Stage::Dispersed) => {
            let of_stage = losses.iter().filter(|loss| loss.stage == stage);
            let executors: BTreeSet<_> = of_stage.filter_map(|loss| loss.executor.as_deref()).collect();
            let executors = executors.into_iter().collect::<Vec<_>>().join(", ");
            format!("{executors} acknowledged data, and no block of every node's chain tells of it")
        }
        _ => "blocks tell of data that nodes do not have".to_owned(),
    }
}

/// What kept each blob that was lost from being available.
fn losses(cx: &RunContext, entries: &BlobEntries) -> Vec<Loss> {
    let not_included = entries.not_included(cx.feed());
    let mut losses = Vec::new();
    for (place, fate) in entries.fates.iter().enumerate() {
        // What is in flight when a run is cut short did not have its time to land.
        let had_its_time = !cx.was_cut_short() || fate.at.elapsed() >= cx.time_to_land();
        let mut lost = |stage, how: String| {
            let by = fate.dispersed().map(|dispersed| Arc::clone(&dispersed.by));
            let dispersed = by.as_ref().map(|by| format!(", dispersed by {by} in slot {}", fate.slot));
            let text = format!("lost: {}{}: {how}", fate.describe(), dispersed.unwrap_or_default());
            losses.push(Loss { stage, text, executor: by });
        };
        if let Some(refusal) = fate.refusal() {
            lost(Stage::Handed, format!("every executor refused it: {refusal}"));
        } else if !fate.is_published() || !had_its_time {
        } else if not_included.contains(&place) {
            lost(Stage::Dispersed, not_included_how(fate));
        } else if let Some(how) = unread(fate.retrieval.as_ref()) {
            lost(Stage::Included, how);
        } else if let Some(how) = fate.without_executor.as_ref().and_then(|read| unread(Some(read))) {
            lost(Stage::Included, format!("while its executor was stopped, {how}"));
        }
    }
    losses
}

fn not_included_how(fate: &BlobFate) -> String {
    match fate.blocks.is_empty() {
        true => "never in a block".to_owned(),
        false => "in blocks of abandoned branches or of some nodes only".to_owned(),
    }
}

/// Why a blob in a block counts as not read back.
fn unread(retrieval: Option<&Retrieval>) -> Option<String> {
    match retrieval {
        Some(Retrieval::Same { .. }) => None,
        Some(Retrieval::Different { from, how }) => {
            Some(format!("the shares of {} restore other data: {how}", from.join(", ")))
        }
        Some(Retrieval::Failed { said }) => Some(format!("it cannot be restored: {}", said.join("; "))),
        None => Some("it was not read back in time".to_owned()),
    }
}
