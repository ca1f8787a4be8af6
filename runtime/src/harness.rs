//! From registered scenarios to ordinary cargo tests.
//!
//! [`main`] is what `main!` calls: parse the arguments, collect and check the cases, hand them to
//! libtest-mimic. `attempt` is what each of them does: wait for room, deploy, run the body, judge,
//! tear down.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::FutureExt;
use libtest_mimic::{Failed, Trial};

use crate::case::{Case, duplicates};
use crate::deployer::Backend;
use crate::env;
use crate::failure::{Failure, FailureClass, Problem, RunFailed};
use crate::node::NodeProgram;
use crate::pool::budget::Budget;
use crate::report::Report;
use crate::run::{Place, Run};
use crate::runner::{Runner, panic_text};
use crate::scenario::{Scenario, install_program};

mod args;
mod interrupt;
use interrupt::Interrupt;

/// Runs all scenarios linked into this program as cargo tests; `main!` calls it.
pub fn main(main_crate: &str, program: impl NodeProgram, backends: &[Backend]) -> ExitCode {
    run(std::env::args(), main_crate, program, backends)
}

/// [`main`] with a command line of the caller's.
pub fn run(
    args: impl Iterator<Item = String>,
    main_crate: &str,
    program: impl NodeProgram,
    backends: &[Backend],
) -> ExitCode {
    install_program(program);
    let args = match args::parse(args) {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    let cases = Case::all(main_crate);
    let mut problems = duplicates(&cases);
    problems.extend(env::check().err().into_iter().flatten().cloned());
    problems.extend(cases.iter().filter_map(|(name, case)| unknown_backend(name, case, backends)));
    if !problems.is_empty() {
        problems.iter().for_each(|problem| eprintln!("error: {problem}"));
        return ExitCode::from(101);
    }
    let interrupt = Interrupt::default();
    let trial = |(name, case): &(String, Case)| {
        let backend = backends.iter().find(|backend| backend.name() == case.backend).cloned();
        let (name, case, interrupt) = (name.clone(), *case, interrupt.clone());
        Trial::test(name.clone(), move || {
            attempt(&name, case, &backend.expect("unknown backends were refused"), &interrupt)
        })
        .with_ignored_flag(case.def.ignore.is_some())
    };
    let trials = cases.iter().map(trial).collect();
    let names: Vec<_> = cases.iter().map(|(name, case)| (name.clone(), case.base_name(main_crate))).collect();
    let arguments = args.select(&names);
    if !arguments.list {
        interrupt.listen();
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn unknown_backend(name: &str, case: &Case, backends: &[Backend]) -> Option<Problem> {
    if backends.iter().any(|backend| backend.name() == case.backend) {
        return None;
    }
    let known: Vec<_> = backends.iter().map(Backend::name).collect();
    Some(Problem::new(
        format!("{name} ({})", case.location()),
        format!("this build has no backend `{}`, only {}", case.backend, known.join(", ")),
        format!("add the feature `{}` to the dependency on `logos-scenario`", case.backend),
    ))
}

/// One attempt of one case, from the queue to the verdict.
fn attempt(name: &str, case: Case, backend: &Backend, interrupt: &Interrupt) -> Result<(), Failed> {
    let seed = env::settings().seed.or(case.def.args.seed).unwrap_or_else(rand::random);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failed::from(format!("no runtime for the case: {error}")))?;
    let place = Place::of_case(name).map_err(|error| Failed::from(error.to_string()))?;
    let outcome = runtime.block_on(lifecycle(name, case, backend, seed, &place, interrupt));
    runtime.shutdown_timeout(Duration::from_millis(50));
    place.remove_empty();
    verdict(name, case, seed, &place, outcome)
}

/// Queue, deploy, body, judgement, teardown; every failure of all of these.
async fn lifecycle(
    name: &str,
    case: Case,
    backend: &Backend,
    seed: u64,
    place: &Place,
    interrupt: &Interrupt,
) -> Result<Vec<Report>, RunFailed> {
    let scenario = case
        .scenario(seed)
        .map_err(|error| RunFailed { failures: error.problems.into_iter().map(Failure::from).collect() })?;
    usable(backend, &scenario).await?;
    let began = Instant::now();
    let (_budget, runner) = tokio::select! {
        biased;
        () = interrupt.happened() => return Err(interrupted().into()),
        deployed = async {
            let budget = Budget::take(case.nodes(), env::settings().max_nodes).await?;
            let queued = began.elapsed();
            say(name, &format!("deploying; nodes: {}, queued {:.1} s", case.nodes(), queued.as_secs_f64()));
            Ok::<_, RunFailed>((budget, Runner::deploy(backend.deployer(), &scenario, place, Some(queued)).await?))
        } => deployed?,
    };
    say(name, &format!("ready after {:.1} s; window {}", began.elapsed().as_secs_f64(), scenario.window()));

    let timeout = env::settings().scaled(case.timeout(&scenario));
    let mut run = Run::new(runner);
    let ended = tokio::select! {
        biased;
        () = interrupt.happened() => Some(interrupted()),
        body = tokio::time::timeout(timeout, body(case, &mut run)) => body.unwrap_or_else(|_| Some(timed_out(timeout))),
    };
    let mut failures: Vec<Failure> = Vec::new();
    let mut reports = Vec::new();
    match run.conclude(ended.is_some()) {
        Ok(judged) => reports = judged,
        Err(failed) => failures = failed.failures,
    }
    failures.extend(ended);
    failures.extend(run.into_runner().teardown().await.err().into_iter().flat_map(|failed| failed.failures));
    if failures.is_empty() { Ok(reports) } else { Err(RunFailed { failures }) }
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
        .try_next("run the scenario on another backend, or leave out the workload that needs it"))
}

/// Runs the body and drives what it left; the failure is the body's own.
async fn body(case: Case, run: &mut Run) -> Option<Failure> {
    let failure = match AssertUnwindSafe((case.def.body)(run)).catch_unwind().await {
        Ok(Ok(())) => None,
        Ok(Err(error)) if error.of_drive => None,
        Ok(Err(error)) => Some(body_failure(case, "an error", &error.text)),
        Err(panic) => Some(body_failure(case, "a panic", panic_text(&*panic))),
    };
    if failure.is_none() {
        run.drive_rest().await;
    }
    failure
}

fn body_failure(case: Case, what: &str, text: &str) -> Failure {
    Failure::new(FailureClass::Test, "body")
        .expected(format!("`{}` to return without {what}", case.def.function))
        .seen(format!("{what}: {text}"))
        .look(case.location())
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

/// What cargo is told.
fn verdict(
    name: &str,
    case: Case,
    seed: u64,
    place: &Place,
    outcome: Result<Vec<Report>, RunFailed>,
) -> Result<(), Failed> {
    match (outcome, case.def.args.should_fail) {
        (Ok(reports), None) => {
            reports.iter().for_each(|report| say(name, &format!("passed; {report}")));
            Ok(())
        }
        (Ok(_), Some(text)) => {
            Err(Failed::from(format!("the scenario passed, but should fail with `{text}`")))
        }
        (Err(failed), Some(text)) if failed.to_string().contains(text) => {
            say(name, &format!("failed with `{text}`, as it should"));
            Ok(())
        }
        (Err(failed), should_fail) => {
            let mut message = format!("{failed}\n\n{}", repeat(name, case, seed, place));
            if let Some(text) = should_fail {
                message =
                    format!("the scenario should fail with `{text}`, but failed otherwise:\n\n{message}");
            }
            if env::settings().nextest.is_some() {
                // nextest puts what follows `Error: ` into JUnit.
                eprintln!("Error: {message}");
            }
            Err(Failed::from(message))
        }
    }
}

/// The line that repeats the run, and where its files are.
fn repeat(name: &str, case: Case, seed: u64, place: &Place) -> String {
    let command = format!("SCENARIO_SEED={seed} cargo test -p {} -- --exact {name}", case.def.package);
    let files =
        if place.directory().is_dir() { place.directory().display().to_string() } else { "none".to_owned() };
    format!("repeat with: {command}\nfiles: {files}")
}

/// One line of progress.
fn say(name: &str, what: &str) {
    eprintln!("{name}: {what}");
}
