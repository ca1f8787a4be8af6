//! One attempt of one case: what the body of a scenario gets, and where its files are.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::context::{NodeClients, RunContext};
use crate::deployer::{DeployError, Placement};
use crate::env;
use crate::failure::{Failure, FailureClass, RunFailed};
use crate::faults::Faults;
use crate::feed::BlockFeed;
use crate::node::NodeClient;
use crate::report::{Journal, Report};
use crate::runner::{Driving, NodeControl, Runner};
use crate::scenario::{Parts, ScenarioBuilderExt};

/// What the body of a scenario returns: nothing, or any error.
pub type Result<T = (), E = anyhow::Error> = std::result::Result<T, E>;

/// What the body of a scenario gets: its cluster, and what should be done with it.
///
/// ```no_run
/// # use logos_scenario_runtime::{Result, Run, ScenarioBuilderExt};
/// async fn transactions_are_included(run: &mut Run) -> Result {
///     run.transactions_with(|tx| tx.rate(5).users(20)).expect_consensus_liveness();
///     run.drive().await
/// }
/// ```
pub struct Run {
    runner: Runner,
    context: RunContext,
    parts: Parts,
    drives: Arc<Drives>,
}

debug_as!(Run, |this| runner: this.runner, parts: this.parts);

/// What one body did, whatever it makes of the results.
#[derive(Default)]
pub(crate) struct Drives {
    touched: AtomicBool,
    started: AtomicU32,
    ended: Mutex<Vec<std::result::Result<Report, RunFailed>>>,
    current: watch::Sender<Option<RunContext>>,
}

impl Drives {
    fn lock(&self) -> MutexGuard<'_, Vec<std::result::Result<Report, RunFailed>>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The contexts of the drives, each from its start.
    pub(crate) fn contexts(&self) -> watch::Receiver<Option<RunContext>> {
        self.current.subscribe()
    }

    /// Gives up the drive that goes on, also one whose body cannot be stopped.
    pub(crate) fn cancel(&self) {
        if let Some(context) = &*self.current.borrow() {
            context.cut_short();
        }
    }

    /// Whether a text is, or has, the failure of a drive.
    pub(crate) fn have_told(&self, text: &str) -> bool {
        self.lock().iter().any(|drive| drive.as_ref().is_err_and(|failed| text.contains(&failed.to_string())))
    }

    /// What became of all drives, and whether they prove anything; of a body that was `cut_short`, by others or by
    /// an error of its own, only what is known.
    pub(crate) fn conclude(&self, cut_short: bool) -> std::result::Result<Vec<Report>, RunFailed> {
        let mut reports = Vec::new();
        let mut failures = Vec::new();
        let ended = std::mem::take(&mut *self.lock());
        if !cut_short && (ended.len() as u32) < self.started.load(Ordering::Relaxed) {
            failures.push(
                Failure::new(FailureClass::Test, "body")
                    .expected("`finish().await` after `start().await`")
                    .seen("a drive that was started and dropped")
                    .because("what it did was never judged"),
            );
        }
        for drive in ended {
            match drive {
                Ok(report) => reports.push(report),
                Err(failed) => failures.extend(failed.failures),
            }
        }
        if !cut_short && !self.touched.load(Ordering::Relaxed) {
            failures.push(
                Failure::new(FailureClass::Test, "body")
                    .expected("a body that registers a workload or an expectation, or looks at the cluster")
                    .seen("it never touched its `run: &mut Run`")
                    .because("such a scenario proves nothing")
                    .try_next("`run.expect_consensus_liveness(); run.drive().await`"),
            );
        }
        if failures.is_empty() { Ok(reports) } else { Err(RunFailed { failures }) }
    }
}

impl Run {
    pub(crate) fn new(runner: Runner) -> Self {
        let context = runner.context(runner.scenario());
        Self { runner, context, parts: Parts::default(), drives: Arc::default() }
    }

    /// What becomes of this body's drives.
    pub(crate) fn drives(&self) -> Arc<Drives> {
        Arc::clone(&self.drives)
    }

    pub(crate) fn into_runner(self) -> Runner {
        self.runner
    }

    fn touch(&self) {
        self.drives.touched.store(true, Ordering::Relaxed);
    }

    /// Captures, drives for the window, settles and judges what was registered.
    ///
    /// # Errors
    ///
    /// A [`RunFailed`] with every failed expectation. The case fails with it even if the body goes on.
    pub async fn drive(&mut self) -> Result {
        self.start().await?.finish().await?;
        Ok(())
    }

    /// Captures and starts what was registered, so that the test's own code can act meanwhile;
    /// [`Started::finish`] does the rest of [`drive`](Self::drive).
    ///
    /// ```no_run
    /// # use logos_scenario_runtime as logos_scenario;
    /// # use logos_scenario::{Result, Run, ScenarioBuilderExt};
    /// # async fn body(run: &mut Run) -> Result {
    /// run.expect_consensus_liveness();
    /// let drive = run.start().await?;
    /// drive.context().control()?.restart("validator-1").await?;
    /// let report = drive.finish().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The scenario cannot be built from what was registered, or an expectation could not capture.
    pub async fn start(&mut self) -> Result<Started> {
        self.touch();
        self.drives.started.fetch_add(1, Ordering::Relaxed);
        let started = self.start_registered().await;
        if let Err(failed) = &started {
            self.drives.lock().push(Err(failed.clone()));
        }
        Ok(Started { driving: started?, drives: Arc::clone(&self.drives) })
    }

    async fn start_registered(&mut self) -> std::result::Result<Driving, RunFailed> {
        let parts = std::mem::take(&mut self.parts);
        let scenario = self.runner.scenario().with_parts(&parts).map_err(|error| RunFailed {
            failures: error.problems.into_iter().map(Failure::from).collect(),
        })?;
        let fresh = self.runner.context(&scenario);
        let context = std::mem::replace(&mut self.context, fresh);
        self.drives.current.send_replace(Some(context.clone()));
        self.runner.start_in(context, &scenario).await
    }

    /// What this body, and the next drive, may see and do.
    pub fn context(&mut self) -> &RunContext {
        self.touch();
        &self.context
    }

    /// Clients of all nodes.
    pub fn node_clients(&mut self) -> &NodeClients {
        self.touch();
        self.runner.node_clients()
    }

    /// The client of one node, such as `validator-0`.
    ///
    /// ```no_run
    /// # use logos_scenario_runtime as logos_scenario;
    /// # use logos_scenario::{Result, Run, ScenarioBuilderExt};
    /// # async fn body(run: &mut Run) -> Result {
    /// let height = run.node("validator-0")?.consensus_info().await?.height;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// There is no such node; the error names those there are.
    pub fn node(&mut self, name: &str) -> Result<&NodeClient> {
        let clients = self.node_clients();
        clients.by_name(name).ok_or_else(|| {
            let names: Vec<_> = clients.all().iter().map(NodeClient::name).collect();
            anyhow::anyhow!("there is no node `{name}`; there are {}", names.join(", "))
        })
    }

    /// What can be done to the nodes.
    ///
    /// ```no_run
    /// # use logos_scenario_runtime as logos_scenario;
    /// # use logos_scenario::{Result, Run, ScenarioBuilderExt};
    /// # async fn body(run: &mut Run) -> Result {
    /// run.control()?.stop("validator-1").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The scenario does not declare `node_control`.
    pub fn control(&mut self) -> Result<NodeControl> {
        Ok(self.context().control()?)
    }

    /// What can be done to the network between the nodes. What fails of it fails the case as infrastructure, whatever
    /// the body makes of it.
    ///
    /// ```no_run
    /// # use logos_scenario_runtime as logos_scenario;
    /// # use logos_scenario::{Result, Run, ScenarioBuilderExt};
    /// # async fn body(run: &mut Run) -> Result {
    /// run.faults()?.isolate("validator-1").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The scenario does not declare `faults`.
    pub fn faults(&mut self) -> Result<Faults> {
        self.touch();
        let faults = self.context.faults()?;
        let drives = Arc::clone(&self.drives);
        Ok(faults.telling(move |failure| drives.lock().push(Err(failure.clone().into()))))
    }

    /// What happened to the chain so far, and what will.
    ///
    /// ```no_run
    /// # use logos_scenario_runtime as logos_scenario;
    /// # use logos_scenario::{Result, Run, ScenarioBuilderExt};
    /// # async fn body(run: &mut Run) -> Result {
    /// while run.feed().best_height() < 10 {
    ///     run.feed().subscribe().next().await;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn feed(&mut self) -> &BlockFeed {
        self.touch();
        self.runner.feed()
    }

    /// Drives what the body registered and left.
    pub(crate) async fn drive_rest(&mut self) {
        if !self.parts.is_empty() {
            // The outcome is among those of all drives.
            let _ = self.drive().await;
        }
    }
}

impl ScenarioBuilderExt for &mut Run {
    fn parts(&mut self) -> &mut Parts {
        self.touch();
        &mut self.parts
    }
}

/// A drive between its start and its end.
#[must_use = "a drive that is not finished is not judged"]
pub struct Started {
    driving: Driving,
    drives: Arc<Drives>,
}

debug_as!(Started, |this| driving: this.driving);

impl Started {
    /// What the test may see and do meanwhile.
    #[must_use]
    pub fn context(&self) -> &RunContext {
        self.driving.context()
    }

    /// Awaits the window's end, lets things settle, and judges.
    ///
    /// # Errors
    ///
    /// A [`RunFailed`] with every failed expectation. The case fails with it even if the body goes on.
    pub async fn finish(self) -> Result<Report> {
        let outcome = self.driving.finish().await;
        self.drives.lock().push(outcome.clone());
        Ok(outcome?)
    }
}

/// What is in place of a case's name where there is no case.
pub(crate) const BY_HAND: &str = "by-hand";

/// Where one attempt keeps its files, and what everything it creates is labelled with.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    invocation: String,
    case: String,
    directory: PathBuf,
    journal: Arc<Journal>,
}

impl Place {
    /// The place of a case of the harness.
    pub(crate) fn of_case(case: &str) -> std::result::Result<Self, DeployError> {
        let attempt = env::settings().nextest.as_ref().map_or(1, |nextest| nextest.attempt);
        Self::new(invocation(), case, attempt)
    }

    /// The place of a cluster that many may use, with the beginning of its key, among those of an invocation.
    pub(crate) fn of_cluster(key: &str, invocation: &str) -> std::result::Result<Self, DeployError> {
        Self::new(invocation, &format!("cluster-{key}"), 1)
    }

    /// The place of a cluster that is made by hand.
    pub(crate) fn by_hand() -> std::result::Result<Self, DeployError> {
        Self::new(invocation(), BY_HAND, 1)
    }

    /// The first number from `attempt` up whose directory nobody has: other processes of the invocation
    /// may run a case of the same name, or make clusters by hand, too.
    fn new(invocation: &str, case: &str, attempt: u32) -> std::result::Result<Self, DeployError> {
        let folder = invocation_directory(invocation).join(case.replace("::", "."));
        let directory = (attempt..).map(|number| folder.join(number.to_string())).find_map(|directory| {
            match claim(&directory) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
                claimed => Some(claimed.map(|()| directory)),
            }
        });
        let directory = directory.unwrap_or_else(|| Err(ErrorKind::AlreadyExists.into()));
        let directory = directory.map_err(|error| DeployError {
            subject: folder.display().to_string(),
            what: format!("cannot hold a directory for the run: {error}"),
            try_next: "make room, or make its parent writable".to_owned(),
            log: None,
        })?;
        let journal = Arc::new(Journal::new(&directory, invocation, case));
        Ok(Self { invocation: invocation.to_owned(), case: case.to_owned(), directory, journal })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes the run's report.
    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Removes the directories in which nothing was left.
    pub(crate) fn remove_empty(&self) {
        // A folder that is not empty, or is another case's too, refuses.
        for folder in self.directory.ancestors().take(3) {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }

    pub(crate) fn placement(&self) -> Placement {
        let labels = [("invocation", &self.invocation), ("case", &self.case)];
        Placement {
            directory: self.directory.clone(),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }
    }
}

/// Makes a directory, which must not exist, and those above it.
fn claim(directory: &Path) -> std::io::Result<()> {
    let above = directory.parent().unwrap_or(directory);
    loop {
        std::fs::create_dir_all(above)?;
        match std::fs::create_dir(directory) {
            // The run before ended just now, and removed its empty folders.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            made => return made,
        }
    }
}

/// The invocation this process belongs to: nextest's run, or this process.
pub(crate) fn invocation() -> &'static str {
    static INVOCATION: LazyLock<String> = LazyLock::new(|| match &env::settings().nextest {
        Some(nextest) => nextest.run.clone(),
        None => {
            let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            format!("{}-{}", now.replace(':', "-"), std::process::id())
        }
    });
    &INVOCATION
}

/// Where the runs of an invocation keep their files.
pub(crate) fn invocation_directory(invocation: &str) -> PathBuf {
    scenario_directory().join(invocation)
}

/// A path as it was given, from where this program runs or from the folder that holds `target`: cargo runs test programs
/// in their package, and people give paths from where they run cargo.
pub(crate) fn found(given: &str) -> PathBuf {
    let here = PathBuf::from(given);
    let above = scenario_directory().ancestors().nth(2).map(|workspace| workspace.join(given));
    above.filter(|above| !here.exists() && above.exists()).unwrap_or(here)
}

/// `target/scenario` of the build or the archive this program is from, else a folder of its own in the temporary one.
pub(crate) fn scenario_directory() -> &'static Path {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let program = std::env::current_exe().unwrap_or_default();
        let is_target = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file() || folder.ends_with("target");
        let target = program.ancestors().find(is_target);
        target.map_or_else(std::env::temp_dir, Path::to_owned).join("scenario")
    });
    &DIRECTORY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_runs_share_a_directory() {
        let places: Vec<_> =
            (0..3).map(|_| Place::new(invocation(), "run::tests::shared", 1).unwrap()).collect();
        let named = |place: &Place| place.directory.file_name().unwrap().to_owned();
        assert_eq!(places.iter().map(named).collect::<Vec<_>>(), ["1", "2", "3"]);
        let retry = Place::new(invocation(), "run::tests::shared", 7).unwrap();
        assert_eq!(named(&retry), "7");
        places.iter().chain([&retry]).for_each(Place::remove_empty);
        assert!(!retry.directory.exists());
    }
}
