//! Accounts that genesis funds, and who may have them.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rand::seq::SliceRandom;

use super::derived;
use crate::attach::Attachment;
use crate::failure::{Details, Failure, FailureClass};
use crate::node::{NodeProgram, Note, Wallet};
use crate::plan::Genesis;
use crate::pool::Calls;

/// A funded account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number in genesis.
    pub number: usize,
    /// The note that genesis gives it.
    pub note: Note,
}

/// Funded accounts, each handed out once.
///
/// ```
/// # use logos_scenario_runtime::fake;
/// # fake::in_no_time(async {
/// # let (runner, scenario) = fake::example().await?;
/// # let driving = runner.start(&scenario).await?;
/// # let cx = driving.context();
/// for account in cx.accounts().draw(3).await? {
///     println!("account {} begins with {}", account.number, account.note.value);
/// }
/// # driving.finish().await?;
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Accounts {
    notes: Notes,
    seed: u64,
    source: Source,
}

/// The notes of genesis, by the numbers of their accounts; made when they are asked for, since a thousand keys take
/// their time.
pub(crate) struct Notes {
    program: Arc<dyn NodeProgram>,
    genesis: Genesis,
    made: OnceLock<Vec<Note>>,
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notes of {} accounts", self.genesis.accounts.len())
    }
}

impl Notes {
    pub(crate) fn new(program: Arc<dyn NodeProgram>, genesis: Genesis) -> Self {
        Self { program, genesis, made: OnceLock::new() }
    }

    fn get(&self) -> &[Note] {
        let notes = |wallet: &dyn Wallet| wallet.genesis_notes(&self.genesis);
        self.made.get_or_init(|| self.program.wallet().map(notes).unwrap_or_default())
    }
}

/// Where accounts come from.
#[derive(Debug)]
enum Source {
    /// These are one user's own.
    Own { all: Range<usize>, free: Mutex<Option<Vec<Account>>> },
    /// They are drawn from those that nobody else who uses the cluster ever had.
    Shared(Arc<Calls>),
    /// They are taken from this file, which tells of a cluster that is there already.
    Attached(PathBuf),
}

impl Accounts {
    /// These accounts of genesis, for one user.
    pub(crate) fn own(notes: Notes, all: Range<usize>, seed: u64) -> Self {
        Self { notes, seed, source: Source::Own { all, free: Mutex::default() } }
    }

    /// Accounts of genesis as a lease gets them.
    pub(crate) fn shared(notes: Notes, calls: Arc<Calls>, seed: u64) -> Self {
        Self { notes, seed, source: Source::Shared(calls) }
    }

    /// Accounts of a cluster that is there already, of which this file tells; so many of them at once, if that is said.
    ///
    /// # Errors
    ///
    /// There are not that many left.
    pub(crate) fn attached(
        notes: Notes,
        file: PathBuf,
        wallets: Option<usize>,
        seed: u64,
    ) -> Result<Self, Failure> {
        let Some(count) = wallets else { return Ok(Self { notes, seed, source: Source::Attached(file) }) };
        let all = drawn(Attachment::draw(&file, count), count, notes.genesis.accounts.len())?;
        Ok(Self::own(notes, all, seed))
    }

    /// The seed says in which order accounts are used.
    fn shuffled(&self, numbers: Range<usize>) -> Vec<Account> {
        let notes = self.notes.get();
        let account = |number: usize| Some(Account { number, note: notes.get(number)?.clone() });
        let mut accounts: Vec<_> = numbers.filter_map(account).collect();
        accounts.shuffle(&mut derived(self.seed, "accounts"));
        accounts
    }

    /// Whether a failure says only that there were too few, by itself or in the words of a body that handed it on.
    pub(crate) fn are_lacked(failure: &Failure) -> bool {
        let Details { expected, seen, .. } = &*failure.details;
        expected.iter().chain(seen).any(|text| text.contains(WANTED))
    }

    /// Takes `count` accounts that nobody else has, and nobody else ever gets.
    ///
    /// # Errors
    ///
    /// There are not that many left, the node program has no wallet, or the cluster is gone.
    pub async fn draw(&self, count: usize) -> Result<Vec<Account>, Failure> {
        if self.notes.program.wallet().is_none() {
            return Err(Failure::new(FailureClass::Test, "accounts")
                .expected("a node program that has accounts")
                .seen("it has no wallet")
                .try_next("implement `NodeProgram::wallet`"));
        }
        match &self.source {
            Source::Own { all, free } => {
                let mut free = free.lock().unwrap_or_else(PoisonError::into_inner);
                let free = free.get_or_insert_with(|| self.shuffled(all.clone()));
                match free.len().checked_sub(count) {
                    Some(left) => Ok(free.split_off(left)),
                    None => Err(too_few(count, free.len(), all.len())),
                }
            }
            Source::Shared(calls) => {
                let total = self.notes.genesis.accounts.len();
                Ok(self.shuffled(drawn(calls.draw(count, total).await, count, total)?))
            }
            Source::Attached(file) => {
                let total = self.notes.genesis.accounts.len();
                Ok(self.shuffled(drawn(Attachment::draw(file, count), count, total)?))
            }
        }
    }
}

/// What is wanted where there are too few.
const WANTED: &str = "accounts that nobody uses yet";

/// The numbers of `count` accounts that were drawn of a `total`, or why they were not.
fn drawn<E: std::fmt::Display>(
    drawn: Result<Result<Range<usize>, usize>, E>,
    count: usize,
    total: usize,
) -> Result<Range<usize>, Failure> {
    match drawn {
        Ok(Ok(numbers)) => Ok(numbers),
        Ok(Err(left)) => Err(too_few(count, left, total)),
        Err(error) => Err(Failure::new(FailureClass::Infrastructure, "accounts")
            .expected(format!("{count} accounts of the cluster"))
            .seen(error.to_string())),
    }
}

fn too_few(wanted: usize, left: usize, total: usize) -> Failure {
    Failure::new(FailureClass::Test, "accounts")
        .expected(format!("{wanted} {WANTED}"))
        .seen(format!("{left} of {total} are left"))
        .try_next(format!("give the scenario `wallets({})` or more", total - left + wanted))
}
