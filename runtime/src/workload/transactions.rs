//! Signed transfers at a rate per block.
//!
//! `floor(expected_blocks × rate)` transfers are planned and paced evenly over the window: by time, or block
//! by block where the window is given in blocks. Accounts take
//! turns; each spends the change of its own last transfer once that is in a block, so the number of
//! accounts does not bound the total. Transfers are signed ahead, on threads that may block.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use rand::seq::SliceRandom;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Counters, Workload};
use crate::context::{Account, RunContext};
use crate::expectation::{AnyExpectation, TransactionInclusion};
use crate::failure::{Failure, FailureClass, Problem};
use crate::feed::{Block, Event};
use crate::node::{ClientError, NodeClient, Note, TransactionId, Transfer};
use crate::scenario::{Outline, Window};
use crate::wait::pause_until;

/// Submits signed transfers at a rate per block.
#[derive(Clone, Debug)]
pub struct Transactions {
    rate: u64,
    users: Option<usize>,
    inclusion: TransactionInclusion,
}

impl Default for Transactions {
    fn default() -> Self {
        Self { rate: 1, users: None, inclusion: TransactionInclusion::default() }
    }
}

impl Transactions {
    /// Sets the transactions per block, on average over the window; 1 by default.
    #[must_use]
    pub fn rate(mut self, per_block: u64) -> Self {
        self.rate = per_block;
        self
    }

    /// Sets the number of accounts that take turns; by default all of the scenario's `wallets`, else
    /// `max(10, 3 × rate)`. An account has one unconfirmed transaction at a time, so three per
    /// transaction and block are needed.
    #[must_use]
    pub fn users(mut self, users: usize) -> Self {
        self.users = Some(users);
        self
    }

    /// Sets the share of accepted transactions that must be in a block of every node's chain at the end,
    /// in (0, 1]; all by default.
    #[must_use]
    pub fn min_inclusion(mut self, share: f64) -> Self {
        self.inclusion = self.inclusion.min_inclusion(share);
        self
    }

    fn users_of(&self, wallets: Option<usize>) -> usize {
        let needed = usize::try_from(self.rate.saturating_mul(3)).unwrap_or(usize::MAX);
        self.users.or(wallets).unwrap_or_else(|| needed.max(10))
    }
}

impl Workload for Transactions {
    fn name(&self) -> &str {
        "transactions"
    }

    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.rate == 0 {
            problems.push(Problem::new(
                "transactions.rate",
                "0, expected at least 1 per block",
                "try `.rate(1)`",
            ));
        }
        let users = self.users_of(outline.wallets);
        if (users as u64) < self.rate.saturating_mul(3) {
            problems.push(Problem::new(
                "transactions.users",
                format!("{users} users cannot submit {} transactions per block, since each waits until its last one is in a block", self.rate),
                format!("give at least 3 per transaction: `.users({})`", self.rate.saturating_mul(3)),
            ));
        }
        let given = outline.wallets.unwrap_or(crate::scenario::DEFAULT_ACCOUNTS);
        if users > given {
            problems.push(Problem::new(
                "transactions.users",
                format!("{users} users, but the scenario has {given} accounts"),
                format!("give it `wallets({users})`, or at most `.users({given})`"),
            ));
        }
        problems
    }

    fn expectations(&self) -> Vec<AnyExpectation> {
        vec![AnyExpectation::new(self.inclusion.clone())]
    }

    async fn run(&self, cx: &RunContext) -> Result<Counters, Failure> {
        let log = cx.state::<TransactionLog>();
        let planned = (cx.expected_blocks() * self.rate as f64).floor() as u64;
        log.lock().planned = planned;
        let mut submitter = Submitter::new(self, cx)?;
        let pace = Pace::new(cx, planned, self.rate);
        let mut feed = cx.feed().subscribe();
        let stopping = cx.stopping();
        tokio::pin!(stopping);
        for number in 0..planned {
            loop {
                tokio::select! {
                    biased;
                    () = &mut stopping => return Ok(submitter.counters()),
                    event = feed.next() => submitter.observe(&event),
                    signed = submitter.signed() => submitter.ready.push_back(signed?),
                    () = pace.due(number, cx.feed().best_height()), if !submitter.ready.is_empty() => break,
                }
            }
            submitter.submit_next().await;
        }
        Ok(submitter.counters())
    }
}

/// When which transaction is due.
enum Pace {
    /// Evenly over the window, from a random point in the first interval.
    Time { begin: Instant, interval: Duration },
    /// So many when the window begins, and with each block.
    Blocks { base: u64, rate: u64 },
}

impl Pace {
    fn new(cx: &RunContext, planned: u64, rate: u64) -> Self {
        match cx.window() {
            Window::Time(window) => {
                let interval = window.div_f64(planned.max(1) as f64);
                let offset = interval.mul_f64(cx.seed("transactions.pace").random());
                Self::Time { begin: Instant::now() + offset, interval }
            }
            Window::Blocks(_) => Self::Blocks { base: cx.feed().best_height(), rate },
        }
    }

    /// Completes when the transaction of that number is due at this height of the chain.
    async fn due(&self, number: u64, height: u64) {
        match self {
            Self::Time { begin, interval } => pause_until(*begin + interval.mul_f64(number as f64)).await,
            Self::Blocks { base, rate } if height >= base + number / rate => {}
            Self::Blocks { .. } => std::future::pending().await,
        }
    }
}

/// An account's next transfer, signed.
struct Signed {
    account: usize,
    transfer: Transfer,
}

/// Where the accounts are: their next transfer is being signed, is ready, or waits for the last one to be
/// in a block.
struct Submitter {
    cx: RunContext,
    log: Arc<TransactionLog>,
    rng: rand_chacha::ChaCha8Rng,
    signing: JoinSet<Signed>,
    ready: VecDeque<Signed>,
    unconfirmed: BTreeMap<TransactionId, (usize, Note)>,
}

impl Submitter {
    fn new(workload: &Transactions, cx: &RunContext) -> Result<Self, Failure> {
        let mut rng = cx.seed("transactions.accounts");
        let mut accounts = cx.accounts().draw(workload.users_of(cx.wallets()))?;
        accounts.shuffle(&mut rng);
        let mut submitter = Self {
            cx: cx.clone(),
            log: cx.state(),
            rng,
            signing: JoinSet::new(),
            ready: VecDeque::new(),
            unconfirmed: BTreeMap::new(),
        };
        for Account { number, note } in accounts {
            submitter.sign(number, note);
        }
        Ok(submitter)
    }

    /// Signs the account's next transfer in the background: all of the note, to the account itself.
    fn sign(&mut self, account: usize, note: Note) {
        let program = Arc::clone(self.cx.program());
        self.signing.spawn_blocking(move || {
            let transfer = program.wallet().transfer(account, &note, &[(account, note.value)]);
            Signed { account, transfer }
        });
    }

    /// The next transfer that is signed; never, while none is being signed.
    async fn signed(&mut self) -> Result<Signed, Failure> {
        match self.signing.join_next().await {
            Some(signed) => signed.map_err(|error| {
                Failure::new(FailureClass::Test, "transactions")
                    .expected("the node program's wallet to sign a transfer")
                    .seen(error.to_string())
            }),
            None => std::future::pending().await,
        }
    }

    /// Lets accounts whose transfer is in a block go on.
    fn observe(&mut self, event: &Event) {
        let Event::Block(block) = event else { return };
        for id in &block.transactions {
            if let Some((account, note)) = self.unconfirmed.remove(id) {
                self.sign(account, note);
            }
        }
    }

    async fn submit_next(&mut self) {
        let Some(Signed { account, transfer }) = self.ready.pop_front() else { return };
        let (slot, at) = (self.cx.clock().now(), Instant::now());
        let body = &transfer.body;
        let submit = |client: NodeClient| async move {
            client.submit_transaction(body).await.map(|()| client.name().to_owned())
        };
        let answer = self.cx.node_clients().try_all(&mut self.rng, submit).await;
        let Transfer { id, notes, .. } = &transfer;
        let mut log = self.log.lock();
        match answer {
            Err(error) if error.is_unreachable() => {
                log.unanswered.push(error);
                self.ready.push_back(Signed { account, transfer });
            }
            Err(error) if !is_known(&error) => log.rejected.push((*id, error)),
            accepted => {
                let node = accepted.unwrap_or_else(|error| error.node().to_owned());
                log.submitted.insert(*id, Submission { at, slot, node });
                self.unconfirmed.extend(notes.first().map(|note| (*id, (account, note.clone()))));
            }
        }
    }

    fn counters(&self) -> Counters {
        let log = self.log.lock();
        Counters::default()
            .with("submitted", log.submitted.len() as u64)
            .with("rejected", log.rejected.len() as u64)
    }
}

/// Whether the node had the transaction already: an earlier answer was lost on its way.
fn is_known(error: &ClientError) -> bool {
    matches!(error, ClientError::Status { body, .. } if body.contains("already in mempool"))
}

/// What became of a run's transactions: the state that the workload and its expectation share.
#[derive(Debug, Default)]
pub struct TransactionLog(Mutex<Entries>);

/// What became of a run's transactions.
#[derive(Debug, Default)]
pub struct Entries {
    /// How many were to be submitted.
    pub planned: u64,
    /// Those a node accepted.
    pub submitted: BTreeMap<TransactionId, Submission>,
    /// Those a node refused, and why.
    pub rejected: Vec<(TransactionId, ClientError)>,
    /// Attempts that no node answered; they were repeated later.
    pub unanswered: Vec<ClientError>,
    /// The blocks that each transaction of the chain is in, on all branches, as they were seen.
    pub blocks: HashMap<TransactionId, Vec<Arc<Block>>>,
}

/// A transaction that a node accepted.
#[derive(Clone, Debug)]
pub struct Submission {
    /// When it was submitted.
    pub at: Instant,
    /// In which slot that was.
    pub slot: u64,
    /// To which node.
    pub node: String,
}

impl TransactionLog {
    /// Looks at the log, or writes to it.
    pub fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which transactions are in a block, whoever submitted them: a block may be seen before the
    /// answer to the submission.
    pub fn observe(&self, block: &Arc<Block>) {
        let mut log = self.lock();
        for id in &block.transactions {
            log.blocks.entry(*id).or_default().push(Arc::clone(block));
        }
    }
}
