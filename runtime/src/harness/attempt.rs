//! One attempt of one case: a lease, body, judgement, release, verdict; and once more on a cluster of its own
//! where that tells whose failure it is.

use std::path::PathBuf;
use std::time::Duration;

use libtest_mimic::Failed;
use tokio::time::Instant;

use super::logs::Logs;
use super::progress::CaseProgress;
use super::waiting::{Waiting, is_deployed};
use super::{Shared, body, github};
use crate::attach::{self, Attachment};
use crate::case::{Case, Sharing};
use crate::context::Accounts;
use crate::env;
use crate::failure::{Failure, FailureClass, RunFailed};
use crate::pool::{Lease, Leased, Released, named};
use crate::report::{Neighbours, Phase, Report, html, mask};
use crate::run::{Place, Run};
use crate::runner::{Runner, usable};
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

/// What came of a scenario on one cluster.
#[derive(Default)]
struct Lived {
    reports: Vec<Report>,
    failures: Vec<Failure>,
    /// Who else used the cluster, and what became of it.
    neighbours: Neighbours,
    /// The time that body and window had.
    timeout: Duration,
    /// What it took to give the cluster back, which is looked over before.
    released_in: Duration,
    /// It lacked accounts only because others drew them.
    ran_out: bool,
}

/// Runs a case, from the queue to the verdict.
pub(super) fn run(name: &str, case: &Case, shared: &Shared) -> Result<(), Failed> {
    let logs = Logs::default();
    let mut attempt = Attempt {
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
    let lived = runtime.block_on(async {
        let mut lived = attempt.on_a_cluster(&attempt.place, attempt.sharing()).await;
        if lived.ran_out && !lived.failures.is_empty() && !attempt.shared.interrupt.has_happened() {
            lived = attempt.with_all_accounts(lived).await;
        }
        if attempt.is_in_doubt(&lived) {
            lived.neighbours.alone = Some(attempt.alone(&lived).await);
        }
        lived
    });
    runtime.shutdown_timeout(Duration::from_millis(50));
    let verdict = attempt.verdict(&lived);
    attempt.place.remove_empty();
    verdict
}

impl Attempt<'_> {
    /// Who may use the cluster besides; nobody where nextest tries again.
    fn sharing(&self) -> Sharing {
        let is_retry = env::settings().nextest.as_ref().is_some_and(|nextest| nextest.attempt > 1);
        if is_retry { Sharing::Fresh } else { self.case.def.args.sharing() }
    }

    /// Lease, body, judgement, release; every failure of all of these.
    async fn on_a_cluster(&self, place: &Place, sharing: Sharing) -> Lived {
        let mut lived = Lived::default();
        let scenario = match self.case.scenario(self.seed) {
            Ok(scenario) => scenario,
            Err(error) => {
                lived.failures.extend(error.problems.into_iter().map(Failure::from));
                return lived;
            }
        };
        let began = Instant::now();
        place.journal().enter(Phase::Queue);
        let leased = tokio::select! {
            biased;
            () = self.shared.interrupt.happened() => Err(interrupted()),
            leased = self.lease(&scenario, place, sharing) => leased,
        };
        match leased {
            Ok(Leased { lease, keepers_lost }) => {
                lived.neighbours.keepers_lost = keepers_lost;
                self.on_lease(&mut lived, lease, &scenario, place, began).await;
            }
            Err(failure) => {
                lived.failures.push(failure);
                self.unplan(&scenario, sharing, None).await;
            }
        }
        lived
    }

    async fn lease(&self, scenario: &Scenario, place: &Place, sharing: Sharing) -> Result<Leased, Failure> {
        usable(self.case.backend.deployer(), scenario).await?;
        let waiting = Waiting::new(|what: &str| self.progress.phase(what));
        let waits = |what: String| {
            place.journal().turn_to(if is_deployed(&what) { Phase::Deploy } else { Phase::Queue });
            waiting.hear(what);
        };
        let run = place.journal().id();
        tokio::select! {
            leased = self.shared.pool.lease(&self.case.backend, scenario, (self.name, &run), sharing, waits) => leased,
            never = waiting.repeat() => match never {},
        }
    }

    async fn on_lease(
        &self,
        lived: &mut Lived,
        lease: Lease,
        scenario: &Scenario,
        place: &Place,
        began: Instant,
    ) {
        let waited = began.elapsed();
        lived.neighbours.leased(&lease.granted);
        let outcome = tokio::select! {
            biased;
            () = self.shared.interrupt.happened() => Err(interrupted()),
            ready = Runner::on_lease(&lease, self.case.backend.name(), scenario, place, waited) => ready,
        };
        match outcome {
            Ok(runner) => {
                let others = lease.granted.grant.others.len();
                self.progress.phase(&match others {
                    0 => format!("ready after {:.1} s", began.elapsed().as_secs_f64()),
                    _ => format!(
                        "ready after {:.1} s, on a cluster that {others} used before",
                        began.elapsed().as_secs_f64()
                    ),
                });
                self.run_body(lived, runner, scenario).await;
            }
            Err(failure) => lived.failures.push(failure),
        }
        self.progress.phase("giving the cluster back");
        place.journal().enter(Phase::Release);
        let began = Instant::now();
        self.unplan(scenario, lease.sharing, Some(&lease)).await;
        // What failed besides is its own failure, and not that of those who drew.
        lived.ran_out = lease.ran_out() && lived.failures.iter().all(Accounts::are_lacked);
        if env::settings().keep.wants(lived.failures.is_empty()) && !self.shared.interrupt.has_happened() {
            lived.neighbours.kept = self.kept(&lease, scenario).await;
        }
        match lease.release(lived.failures.is_empty() || lived.ran_out).await {
            Ok(released) => {
                lived.failures.extend(left(&released));
                lived.neighbours.released(released);
            }
            Err(error) if lived.failures.is_empty() => lived.failures.push(lost(&error.to_string())),
            Err(_) => {}
        }
        place.journal().leave();
        lived.released_in = began.elapsed();
    }

    async fn run_body(&self, lived: &mut Lived, runner: Runner, scenario: &Scenario) {
        let run = Run::new(runner);
        let drives = run.drives();
        let timeout = env::settings().scaled(self.case.timeout(scenario));
        lived.timeout = timeout;
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
        match drives.conclude(ended.cut_short || ended.failure.is_some()) {
            Ok(judged) => lived.reports = judged,
            Err(failed) => lived.failures = failed.failures,
        }
        lived.failures.extend(ended.failure);
        if ended.cut_short {
            drives.cancel();
        }
        if let Some(run) = ended.run {
            run.into_runner().leave().await;
        }
    }

    /// Lets a cluster stay, and says how to reach and remove it; one in this process's memory goes with that.
    async fn kept(&self, lease: &Lease, scenario: &Scenario) -> Option<String> {
        if lease.granted.cluster.is_some() {
            return None;
        }
        let keeper = lease.keep().await.ok()?;
        let port = scenario.program.http().port;
        let nodes = lease.granted.description.nodes.iter();
        let nodes =
            nodes.filter_map(|node| Some(format!("{}=http://{}", node.name, node.addresses.get(&port)?)));
        let nodes = nodes.collect::<Vec<_>>().join(" ");
        let attach = self.attachable(lease, scenario).await;
        let attach = attach
            .map(|file| format!("SCENARIO_ATTACH={} runs cases on it; ", file.display()))
            .unwrap_or_default();
        Some(format!(
            "its cluster is kept for an hour: {nodes}; {attach}`kill {keeper}` removes it, and all others of its keeper"
        ))
    }

    /// Writes down where a cluster is, for those who attach to it; nothing where that cannot be.
    async fn attachable(&self, lease: &Lease, scenario: &Scenario) -> Option<PathBuf> {
        let drawn = lease.calls().draw(0, 0).await.ok()?.ok()?.end;
        let backend = self.case.backend.name();
        let (key, accounts) = (scenario.key(backend), drawn..scenario.accounts.len());
        let cluster = lease.granted.description.clone();
        let file = lease.granted.directory.join(attach::FILE);
        Attachment::new(backend, self.name, key, cluster, accounts).write(&file).ok()?;
        Some(file)
    }

    /// Says that this case needs no cluster any more, which was planned unless it wanted one of its own.
    async fn unplan(&self, scenario: &Scenario, sharing: Sharing, lease: Option<&Lease>) {
        if sharing != Sharing::Fresh {
            self.shared.pool.unplan(&self.case.backend, scenario, lease).await;
        }
    }

    /// Runs the scenario anew on a cluster whose accounts nobody draws from: it may not fail for having shared one.
    async fn with_all_accounts(&mut self, short: Lived) -> Lived {
        let Ok(place) = Place::of_case(self.name) else { return short };
        self.progress.phase("others drew the accounts that it needs; once more, on a cluster of its own");
        self.place.journal().conclude(false, &short.failures, Some(self.command()));
        self.place = place;
        self.on_a_cluster(&self.place, Sharing::Fresh).await
    }

    /// Whether a failure may be the doing of others who used the cluster, as that of a keeper that is gone is not.
    fn is_in_doubt(&self, lived: &Lived) -> bool {
        lived.failures.iter().any(|failure| failure.class != FailureClass::Infrastructure)
            && !lived.neighbours.others.is_empty()
            && self.case.def.args.should_fail.is_none()
            && env::settings().isolate
            && env::settings().attach.is_none()
            && !self.shared.interrupt.has_happened()
    }

    /// Runs the scenario once more, on a cluster of its own; what that says of its failure.
    async fn alone(&self, failed: &Lived) -> String {
        self.progress.phase("failed; once more, on a cluster of its own");
        let place = match Place::of_case(self.name) {
            Ok(place) => place,
            Err(error) => return format!("whether it fails alone is not known: {error}"),
        };
        let within = failed.timeout.max(env::settings().scaled(Duration::from_secs(60)));
        let again = tokio::time::timeout(within, self.on_a_cluster(&place, Sharing::Fresh)).await;
        let files = place.directory().display();
        let users = named(&failed.neighbours.others);
        match again {
            Err(_) => format!(
                "whether it fails alone is not known: that took more than {}",
                humantime::format_duration(within)
            ),
            Ok(again) if self.shared.interrupt.has_happened() => {
                let _ = again;
                "whether it fails alone is not known: the run was interrupted".to_owned()
            }
            Ok(again) => {
                place.journal().conclude(again.failures.is_empty(), &again.failures, Some(self.command()));
                match again.failures.first() {
                    None => {
                        format!("fails only on a shared cluster, after {users}; alone it passes: {files}")
                    }
                    Some(failure) => {
                        format!("fails alone, too, with {} ({}): {files}", failure.subject, failure.class)
                    }
                }
            }
        }
    }

    /// What cargo is told.
    fn verdict(&self, lived: &Lived) -> Result<(), Failed> {
        let failures = &lived.failures;
        let should_fail = self.case.def.args.should_fail;
        let failed = (!failures.is_empty()).then(|| RunFailed { failures: failures.clone() });
        let text = failed.as_ref().map(ToString::to_string);
        let passed = match (should_fail, &text) {
            (None, text) => text.is_none(),
            (Some(should), text) => text.as_ref().is_some_and(|text| text.contains(should)),
        };
        if self.place.directory().join("report.json").is_file() {
            self.place.journal().describe(|record| record.neighbours = Some(lived.neighbours.clone()));
            self.place.journal().conclude(passed, failures, Some(self.command()));
        }
        match (text, should_fail) {
            (None, None) => {
                self.tell_passed(lived);
                Ok(())
            }
            (None, Some(text)) => {
                Err(self
                    .failed(format!("the scenario passed, but should fail with `{text}`"), &lived.neighbours))
            }
            (Some(_), Some(text)) if passed => {
                self.progress.end(&format!("failed with `{text}`, as it should"));
                Ok(())
            }
            (Some(failed), Some(text)) => Err(self.failed(
                format!("the scenario should fail with `{text}`, but failed otherwise:\n\n{failed}"),
                &lived.neighbours,
            )),
            (Some(failed), None) => Err(self.failed(failed, &lived.neighbours)),
        }
    }

    fn tell_passed(&self, lived: &Lived) {
        for report in &lived.reports {
            let released = lived.released_in.as_secs_f64();
            self.progress.end(&format!("passed; {report}; {} {released:.2} s", Phase::Release));
        }
        for panic in self.logs.panics() {
            self.progress.end(&format!("passed, although {panic}"));
        }
        if let Some(kept) = &lived.neighbours.kept {
            self.progress.end(&format!("passed; {kept}"));
        }
        if let Some(poison) = &lived.neighbours.poison {
            self.progress.end(&format!("passed; its cluster is used no more, {poison}"));
        }
        if let Some(logs) = self.logs.text().filter(|_| self.shared.shows_passing) {
            self.progress.end(&format!("log:\n{logs}"));
        }
    }

    /// The failure with what helps to repeat and to explain it.
    fn failed(&self, what: String, neighbours: &Neighbours) -> Failed {
        let notes = neighbours.notes().map(|note| format!("{note}\n")).collect::<String>();
        let told = format!("{what}\n\n{notes}{}", self.repeat(neighbours));
        let told = mask::text(&told);
        github::tell(self.name, self.case, &told);
        self.logs.failed(&told)
    }

    /// The command that repeats the run.
    fn command(&self) -> String {
        let Self { name, case, seed, .. } = self;
        let ignored = if case.def.ignore.is_some() { " --include-ignored" } else { "" };
        let attached = attach::file(case.backend.name());
        let attached =
            attached.map(|file| format!("SCENARIO_ATTACH={} ", file.display())).unwrap_or_default();
        format!(
            "{attached}SCENARIO_SEED={seed} cargo test -p {} --{ignored} --exact {name}",
            case.def.package
        )
    }

    /// The command that repeats the run, and where its files are.
    fn repeat(&self, neighbours: &Neighbours) -> String {
        let command = self.command();
        let directory = self.place.directory();
        let files = if directory.is_dir() { directory.display().to_string() } else { "none".to_owned() };
        let page = Some(directory.join(html::FILE)).filter(|page| page.is_file());
        let page = page.map(|page| format!("report: {}\n", page.display())).unwrap_or_default();
        let nodes = neighbours.directory.iter().filter(|directory| directory.is_dir());
        let nodes = nodes.map(|directory| format!("\nnodes: {}", directory.display())).collect::<String>();
        format!("repeat with: {command}\n{page}files: {files}{nodes}")
    }
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
        .seen("Ctrl-C or SIGTERM, or the end of who started it; the cluster was given back")
}

/// What a cluster that went with its last lease left behind.
fn left(released: &Released) -> Option<Failure> {
    let left = released.left.as_ref()?;
    Some(
        Failure::new(FailureClass::Infrastructure, "teardown")
            .expected("nothing of the cluster to be left")
            .seen(left),
    )
}

fn lost(error: &str) -> Failure {
    Failure::new(FailureClass::Infrastructure, "release").expected("the cluster to be given back").seen(error)
}
