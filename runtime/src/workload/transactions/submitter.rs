//! Signs and submits what the schedule says.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::log::{Fate, TransactionLog};
use super::schedule::{Schedule, Scheduled};
use crate::context::{Account, RunContext};
use crate::failure::{Failure, FailureClass};
use crate::feed::Event;
use crate::node::{ClientError, Note, TransactionId, Transfer};
use crate::wait::pause;
use crate::workload::Counters;
use crate::workload::pace::Start;

/// Requests that may be on their way at once.
const AT_ONCE: usize = 64;
/// How long after the window's end answers to what was submitted are awaited: a request's own timeout.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Until all nodes are tried again, when none answered.
const RETRY: Duration = Duration::from_millis(250);
/// The share of scheduled transfers that the submitter may be too slow for.
const UNSUBMITTED: f64 = 0.05;

/// What an account does.
#[derive(Default)]
struct User {
    /// Its number in genesis.
    number: usize,
    /// Its next transfer, once that is signed.
    next: Option<Transfer>,
    /// Its last transfer is not in a block yet.
    waits: bool,
    /// A node refused its last transfer, so there is nothing it could spend.
    retired: bool,
}

pub(super) struct Submitter {
    cx: RunContext,
    log: Arc<TransactionLog>,
    users: Vec<User>,
    /// Users that could submit now, by their place in `users`.
    ready: BTreeMap<usize, Transfer>,
    unconfirmed: HashMap<TransactionId, usize>,
    signing: JoinSet<(usize, Transfer)>,
    signers: Arc<Semaphore>,
    submitting: JoinSet<()>,
    start: Start,
}

impl Submitter {
    /// Draws the accounts and begins to sign each one's first transfer.
    pub(super) async fn new(cx: &RunContext, users: usize) -> Result<Self, Failure> {
        let mut accounts = cx.accounts().draw(users).await?;
        accounts.shuffle(&mut cx.seed("transactions.accounts"));
        let signers = std::thread::available_parallelism().map_or(1, NonZero::get);
        let mut submitter = Self {
            cx: cx.clone(),
            log: cx.state(),
            users: Vec::new(),
            ready: BTreeMap::new(),
            unconfirmed: HashMap::new(),
            signing: JoinSet::new(),
            signers: Arc::new(Semaphore::new(signers)),
            submitting: JoinSet::new(),
            start: Start::of(cx),
        };
        for Account { number, note } in accounts {
            submitter.users.push(User { number, ..User::default() });
            submitter.sign(submitter.users.len() - 1, note);
        }
        Ok(submitter)
    }

    /// Submits what is due until all of it is submitted or the window ends.
    pub(super) async fn run(mut self, Schedule(schedule): &Schedule) -> Result<Counters, Failure> {
        self.log.lock().planned = schedule.len() as u64;
        let cx = self.cx.clone();
        let mut feed = cx.feed().subscribe();
        let stopping = cx.stopping();
        tokio::pin!(stopping);
        for (number, scheduled) in schedule.iter().enumerate() {
            loop {
                let (due, can_submit) = (self.start.until(scheduled.due, &cx), self.can_submit());
                tokio::select! {
                    biased;
                    () = &mut stopping => {
                        self.submit_overdue(&schedule[number..]);
                        return self.finish().await;
                    }
                    event = feed.next() => self.observe(&event),
                    Some(signed) = self.signing.join_next() => self.signed(signed)?,
                    Some(_) = self.submitting.join_next() => self.retire(),
                    () = due, if can_submit => break,
                }
            }
            self.submit(scheduled);
        }
        self.finish().await
    }

    /// Submits what was due within the window, and what a busy machine did not get to.
    fn submit_overdue(&mut self, rest: &[Scheduled]) {
        let cx = self.cx.clone();
        let overdue = rest.iter().take_while(|scheduled| self.start.is_due(scheduled.due, &cx));
        for scheduled in overdue.copied().collect::<Vec<_>>() {
            if self.can_submit() {
                self.submit(&scheduled);
            }
        }
    }

    fn can_submit(&self) -> bool {
        !self.ready.is_empty() && self.submitting.len() < AT_ONCE
    }

    /// Signs the user's next transfer in the background: all of the note, to the account itself.
    fn sign(&mut self, user: usize, note: Note) {
        let (program, signers) = (Arc::clone(self.cx.program()), Arc::clone(&self.signers));
        let account = self.users[user].number;
        self.signing.spawn(async move {
            let permit = signers.acquire_owned().await;
            let signed = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                let wallet = program.wallet().expect("a scenario of transactions is refused without one");
                wallet.transfer(account, &note, &[(account, note.value)])
            });
            match signed.await {
                Ok(transfer) => (user, transfer),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => std::future::pending().await,
                },
            }
        });
    }

    fn signed(&mut self, signed: Result<(usize, Transfer), JoinError>) -> Result<(), Failure> {
        let (user, transfer) = signed.map_err(|error| {
            Failure::new(FailureClass::Test, "transactions")
                .expected("the node program's wallet to sign a transfer")
                .seen(error.to_string())
        })?;
        self.users[user].next = Some(transfer);
        self.make_ready(user);
        Ok(())
    }

    /// Lets a user submit whose next transfer is signed and whose last one is in a block.
    fn make_ready(&mut self, index: usize) {
        let user = &mut self.users[index];
        if user.waits || user.retired {
            return;
        }
        if let Some(transfer) = user.next.take() {
            self.ready.insert(index, transfer);
        }
    }

    fn observe(&mut self, event: &Event) {
        let Event::Block(block) = event else { return };
        for id in &block.transactions {
            if let Some(user) = self.unconfirmed.remove(id) {
                self.users[user].waits = false;
                self.make_ready(user);
            }
        }
    }

    /// Takes users whose transfer was refused out of their turn.
    fn retire(&mut self) {
        for id in std::mem::take(&mut self.log.lock().refused) {
            if let Some(user) = self.unconfirmed.remove(&id) {
                self.users[user].retired = true;
            }
        }
    }

    /// Submits the transfer of the user whose turn it is, or of the next one that is ready.
    fn submit(&mut self, scheduled: &Scheduled) {
        let next = self.ready.range(scheduled.account..).next().or_else(|| self.ready.iter().next());
        let Some(transfer) = next.map(|(user, _)| *user).and_then(|user| self.ready.remove_entry(&user))
        else {
            return;
        };
        let (user, Transfer { id, body, notes }) = transfer;
        self.users[user].waits = true;
        self.unconfirmed.insert(id, user);
        self.log.lock().fates.insert(id, Fate::new(self.cx.clock().now()));
        if let Some(change) = notes.into_iter().next() {
            self.sign(user, change);
        }
        let mut clients = self.cx.node_clients().all().to_vec();
        clients.rotate_left(scheduled.node);
        let log = Arc::clone(&self.log);
        self.submitting.spawn(async move {
            loop {
                for client in &clients {
                    let answer = client.submit_transaction(&body).await;
                    if log.answered(id, client.name(), answer, is_not_now, is_known) {
                        return;
                    }
                }
                pause(RETRY).await;
            }
        });
    }

    /// Awaits the answers to what was submitted; says so if the submitter was too slow.
    async fn finish(mut self) -> Result<Counters, Failure> {
        let answered = async { while self.submitting.join_next().await.is_some() {} };
        // What has no answer by then may or may not be in a mempool: it is told as unanswered.
        let _ = tokio::time::timeout(LAST_ANSWERS, answered).await;
        let mut log = self.log.lock();
        let live = self.users.iter().filter(|user| !user.retired).count();
        let waiting = self.users.iter().filter(|user| user.waits && !user.retired).count();
        log.accounts_waited = waiting * 2 > live;
        let unsubmitted = log.unsubmitted();
        let too_slow = unsubmitted as f64 > log.planned as f64 * UNSUBMITTED;
        if too_slow && !log.accounts_waited && !self.cx.was_cut_short() {
            return Err(Failure::new(FailureClass::Infrastructure, "transactions")
                .expected(format!(
                    "at most {:.0} % of {} planned transactions to be left unsubmitted",
                    UNSUBMITTED * 100.0,
                    log.planned
                ))
                .seen(format!("{unsubmitted} were due and not submitted"))
                .seen_all(log.last_silence())
                .because(format!("the submitter was too slow: {waiting} of {live} accounts waited for a block, the others for a signature or an answer"))
                .try_next("lower the rate, or give the machine more room"));
        }
        Ok(Counters::default()
            .with("submitted", log.accepted().count() as u64)
            .with("rejected", log.rejected().count() as u64)
            .with("unsubmitted", unsubmitted))
    }
}

/// Whether another node, or the same one later, may take the transaction.
fn is_not_now(error: &ClientError) -> bool {
    error.is_unreachable() || matches!(error, ClientError::Status { status: 408 | 429 | 503, .. })
}

/// Whether the node had the transaction already: an earlier answer was lost on its way.
fn is_known(error: &ClientError) -> bool {
    matches!(error, ClientError::Status { body, .. } if body.contains("already in mempool"))
}
