//! One attempt of one case: queue, deploy, body, judgement, teardown, verdict.

use std::time::Duration;

use libtest_mimic::Failed;
use tokio::time::Instant;

use super::logs::Logs;
use super::progress::CaseProgress;
use super::{Shared, body};
use crate::case::Case;
use crate::deployer::Backend;
use crate::env;
use crate::failure::{Failure, FailureClass, RunFailed};
use crate::pool::budget::Budget;
use crate::report::Report;
use crate::run::{Place, Run};
use crate::runner::{Runner, torn_down};
use crate::scenario::Scenario;
use crate::wait;

/// What an attempt is made of.
struct Attempt<'a> {
    name: &'a str,
    case: &'a Case,
    seed: u64,
    place: Place,
    logs: Logs,
    progress: CaseProgress,
    shared: &'a Shared,
}

/// Runs a case, from the queue to the verdict.
pub(super) fn run(name: &str, case: &Case, shared: &Shared) -> Result<(), Failed> {
    let logs = Logs::default();
    let attempt = Attempt {
        name,
        case,
        seed: env::settings().seed.or(case.def.args.seed).unwrap_or_else(rand::random),
        place: Place::of_case(name).map_err(|error| Failed::from(error.to_string()))?,
        progress: shared.progress.case(name),
        logs: logs.clone(),
        shared,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(move || logs.attach())
        .enable_all()
        .build()
        .map_err(|error| Failed::from(format!("no runtime for the case: {error}")))?;
    attempt.logs.attach();
    let outcome = runtime.block_on(attempt.lifecycle());
    runtime.shutdown_timeout(Duration::from_millis(50));
    let verdict = attempt.verdict(outcome);
    attempt.place.remove_empty();
    verdict
}

impl Attempt<'_> {
    /// Queue, deploy, body, judgement, teardown; every failure of all of these.
    async fn lifecycle(&self) -> Result<Vec<Report>, RunFailed> {
        let scenario = self.case.scenario(self.seed).map_err(|error| RunFailed {
            failures: error.problems.into_iter().map(Failure::from).collect(),
        })?;
        usable(&self.case.backend, &scenario).await?;
        let (_budget, runner) = tokio::select! {
            biased;
            () = self.shared.interrupt.happened() => return Err(interrupted().into()),
            deployed = self.deploy(&scenario) => deployed?,
        };
        let cluster = runner.cluster();
        let run = Run::new(runner);
        let drives = run.drives();
        let timeout = env::settings().scaled(self.case.timeout(&scenario));
        let end = async {
            tokio::select! {
                biased;
                () = self.shared.interrupt.happened() => interrupted(),
                () = wait::pause_until(Instant::now() + timeout) => timed_out(timeout),
            }
        };
        let ended = tokio::select! {
            ended = body::run(self.name, self.case, run, &self.logs, end) => ended,
            never = self.progress.follow(drives.contexts()) => match never {},
        };
        self.progress.phase("tearing down");
        let mut failures: Vec<Failure> = Vec::new();
        let mut reports = Vec::new();
        match drives.conclude(ended.cut_short) {
            Ok(judged) => reports = judged,
            Err(failed) => failures = failed.failures,
        }
        failures.extend(ended.failure);
        match ended.run {
            Some(run) => failures
                .extend(run.into_runner().teardown().await.err().into_iter().flat_map(|it| it.failures)),
            None => failures.extend(torn_down(&*cluster).await.err()),
        }
        if failures.is_empty() { Ok(reports) } else { Err(RunFailed { failures }) }
    }

    async fn deploy(&self, scenario: &Scenario) -> Result<(Budget, Runner), RunFailed> {
        let nodes = self.case.nodes();
        let began = Instant::now();
        self.progress.phase(&format!("waiting for room; nodes: {nodes}"));
        let budget = Budget::take(nodes, env::settings().max_nodes).await?;
        let queued = began.elapsed();
        self.progress.phase(&format!("deploying; nodes: {nodes}, queued {:.1} s", queued.as_secs_f64()));
        let deployer = self.case.backend.deployer();
        let runner = Runner::deploy(deployer, scenario, &self.place, Some(queued)).await?;
        self.progress.phase(&format!("ready after {:.1} s", began.elapsed().as_secs_f64()));
        Ok((budget, runner))
    }

    /// What cargo is told.
    fn verdict(&self, outcome: Result<Vec<Report>, RunFailed>) -> Result<(), Failed> {
        let failures = outcome.as_ref().err().map_or(&[][..], |failed| &failed.failures);
        let passed = match self.case.def.args.should_fail {
            None => outcome.is_ok(),
            Some(text) => outcome.as_ref().is_err_and(|failed| failed.to_string().contains(text)),
        };
        if self.place.directory().join("report.json").is_file() {
            self.place.journal().conclude(passed, failures, Some(self.command()));
        }
        match (outcome, self.case.def.args.should_fail) {
            (Ok(reports), None) => {
                for report in reports {
                    self.progress.end(&format!("passed; {report}"));
                }
                for panic in self.logs.panics() {
                    self.progress.end(&format!("passed, although {panic}"));
                }
                if let Some(logs) = self.logs.text().filter(|_| self.shared.shows_passing) {
                    self.progress.end(&format!("log:\n{logs}"));
                }
                Ok(())
            }
            (Ok(_), Some(text)) => {
                Err(self.failed(format!("the scenario passed, but should fail with `{text}`")))
            }
            (Err(failed), Some(text)) if failed.to_string().contains(text) => {
                self.progress.end(&format!("failed with `{text}`, as it should"));
                Ok(())
            }
            (Err(failed), Some(text)) => Err(self.failed(format!(
                "the scenario should fail with `{text}`, but failed otherwise:\n\n{failed}"
            ))),
            (Err(failed), None) => Err(self.failed(failed.to_string())),
        }
    }

    /// The failure with what helps to repeat and to explain it.
    fn failed(&self, what: String) -> Failed {
        let message = format!("{what}\n\n{}", self.repeat());
        if env::settings().nextest.is_some() {
            // nextest puts what follows `Error: ` into JUnit.
            eprintln!("Error: {message}");
        }
        match self.logs.text() {
            Some(logs) => format!("{message}\n\nlog of the framework:\n{}", logs.trim_end()).into(),
            None => message.into(),
        }
    }

    /// The command that repeats the run.
    fn command(&self) -> String {
        let Self { name, case, seed, .. } = self;
        format!("SCENARIO_SEED={seed} cargo test -p {} -- --exact {name}", case.def.package)
    }

    /// The command that repeats the run, and where its files are.
    fn repeat(&self) -> String {
        let command = self.command();
        let directory = self.place.directory();
        let files = if directory.is_dir() { directory.display().to_string() } else { "none".to_owned() };
        format!("repeat with: {command}\nfiles: {files}")
    }
}

/// Whether the backend can run here, and can do what the scenario needs.
async fn usable(backend: &Backend, scenario: &Scenario) -> Result<(), Failure> {
    let failure = Failure::new(FailureClass::Infrastructure, "backend");
    backend.deployer().available().await.map_err(|unavailable| {
        let expected = format!("backend `{}` to be usable on this machine", backend.name());
        failure.clone().expected(expected).seen(unavailable.missing).try_next(unavailable.try_next)
    })?;
    let lacking = backend.deployer().capabilities().lacking(&scenario.needs());
    if lacking.is_empty() {
        return Ok(());
    }
    Err(failure
        .expected(format!("backend `{}` to be capable of {}", backend.name(), lacking.join(", ")))
        .seen("it is not")
        .try_next("run the scenario on another backend, or leave out what needs it"))
}

fn timed_out(timeout: Duration) -> Failure {
    Failure::new(FailureClass::Test, "timeout")
        .expected(format!("body and window to take at most {}", humantime::format_duration(timeout)))
        .seen("they were still running")
        .try_next("look what the body waits for, or set `timeout` in the attribute")
}

fn interrupted() -> Failure {
    Failure::new(FailureClass::Test, "interrupt")
        .expected("the run to go on until its end")
        .seen("Ctrl-C or SIGTERM; the cluster was torn down")
}
