//! What was submitted in a run that is over, each transaction when its time comes.

use std::sync::Arc;

use serde::Deserialize;
use tokio::time::Instant;

use super::log::{Fate, Summary, TransactionLog};
use crate::context::RunContext;
use crate::node::{ClientError, TransactionId};
use crate::replay::Recording;
use crate::wait::pause_until;

/// A line of `transactions.jsonl`.
#[derive(Clone, Deserialize)]
struct Line {
    id: TransactionId,
    slot: u64,
    second: f64,
    node: Option<String>,
    pooled_second: Option<f64>,
    refusal: Option<ClientError>,
}

/// What happened to a transaction.
enum Happened {
    Submitted(u64),
    Answered(Result<Arc<str>, Box<ClientError>>),
}

pub(super) async fn recall(cx: &RunContext, recording: &Recording) -> Result<(), String> {
    recording.demand_last(cx.number(), "transactions")?;
    let lines: Vec<Line> = recording.lines("transactions.jsonl")?;
    let log = cx.state::<TransactionLog>();
    log.lock().planned = recording.section::<Summary>(cx.number(), "transactions")?.planned;
    let mut all: Vec<_> = lines.into_iter().flat_map(|line| happened(recording, line)).collect();
    all.sort_by_key(|(at, ..)| *at);
    for (at, id, what) in all {
        pause_until(at).await;
        let mut entries = log.lock();
        match what {
            Happened::Submitted(slot) => _ = entries.fates.insert(id, Fate::new(slot)),
            Happened::Answered(answer) => {
                if let Some(fate) = entries.fates.get_mut(&id) {
                    if answer.is_ok() {
                        fate.pooled.get_or_insert_with(Instant::now);
                    }
                    fate.answer = Some(answer);
                }
            }
        }
    }
    Ok(())
}

fn happened(recording: &Recording, line: Line) -> Vec<(Instant, TransactionId, Happened)> {
    let Line { id, slot, second, node, pooled_second, refusal } = line;
    let submitted = (recording.at(second), id, Happened::Submitted(slot));
    let at = recording.at(pooled_second.unwrap_or(second));
    let answer = refusal.map(|error| Err(Box::new(error))).or_else(|| node.map(|node| Ok(node.into())));
    [submitted].into_iter().chain(answer.map(|answer| (at, id, Happened::Answered(answer)))).collect()
}
