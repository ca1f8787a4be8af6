//! What sharing saves: twenty scenarios of three cluster keys, three to five nodes and two seconds each, on shared
//! clusters and on one each; how long it takes to attach to a cluster that is there, and to begin again on one that
//! lingered.
//!
//!     cargo bench --profile dev --workspace --bench sharing -- local compose
//!
//! prints it; the profile is that of tests.

#[path = "../sharing/runner.rs"]
#[expect(dead_code, reason = "it has more than is needed here")]
mod runner;

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use logos_scenario::ChainAgreement;
use logos_scenario::prelude::*;
use logos_scenario::report::{Percentiles, Phase, Record};
use logos_scenario_devnode::Devnode;
use runner::{EACH, Invocation};

/// The first argument of the inner program.
const INNER: &str = "inner";

macro_rules! cases {
    ($($module:ident($cluster:literal, $validators:literal, $executors:literal): { $($name:ident)* })*) => {$(
        mod $module {
            use super::*;

            $(
                #[scenario(
                    backend = ["local", "compose"],
                    cluster = $cluster,
                    validators = $validators,
                    executors = $executors,
                    slot = "270ms",
                    duration = "2s"
                )]
                async fn $name(run: &mut Run) -> Result {
                    run.with_expectation(ChainAgreement::default());
                    run.drive().await
                }
            )*
        }
    )*};
}

cases! {
    shared_three("shared", 3, 0): { a b c d e f g }
    shared_four("shared", 4, 0): { a b c d e f g }
    shared_five("shared", 3, 2): { a b c d e f }
    fresh_three("fresh", 3, 0): { a b c d e f g }
    fresh_four("fresh", 4, 0): { a b c d e f g }
    fresh_five("fresh", 3, 2): { a b c d e f }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if runner::is_stand_in(&args[0]) {
        return runner::main(&args[1..]);
    }
    if args.get(1).is_some_and(|arg| arg == INNER || arg == "--scenario-keeper") {
        let args = args.into_iter().filter(|arg| arg != INNER);
        let program = logos_scenario::harness::Program { main_crate: module_path!(), libraries: &[] };
        let devnode = Devnode::at(env!("CARGO_BIN_EXE_devnode"));
        return logos_scenario::harness::run(args, program, devnode, &logos_scenario::backends());
    }
    for backend in ["local", "compose"].into_iter().filter(|backend| args.iter().any(|arg| arg == backend)) {
        if let Err(error) = measure(backend) {
            eprintln!("{backend}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(backend: &str) -> Result<(), Box<dyn Error>> {
    for (how, name, args) in
        [("one process", "cargo", &[][..]), ("a process each, four at once", "cargo-nextest", &[EACH])]
    {
        let shared = run(backend, "shared", how, name, args)?;
        let fresh = run(backend, "fresh", how, name, args)?;
        let times = fresh.seconds / shared.seconds;
        println!("{backend}, {how}: shared {shared}, fresh {fresh}: {times:.1} times");
    }
    let how = "one at a time";
    let alone = run(backend, "fresh", how, "cargo", &["--test-threads", "1"])?;
    println!("{backend}, {how}: fresh {alone}");
    linger(backend)
}

/// How long all of a kind took.
struct Took {
    seconds: f64,
    clusters: usize,
    /// Seconds to a cluster that was there, and to its being ready.
    attached: Option<(Percentiles, Percentiles)>,
}

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} s with {} deploys", self.seconds, self.clusters)?;
        if let Some((queue, ready)) = &self.attached {
            write!(f, " (attached in ms: p50 {:.1}, p95 {:.1};", queue.p50 * 1e3, queue.p95 * 1e3)?;
            write!(f, " ready: p50 {:.0}, p95 {:.0})", ready.p50 * 1e3, ready.p95 * 1e3)?;
        }
        Ok(())
    }
}

fn run(backend: &str, kind: &str, how: &str, name: &str, args: &[&str]) -> Result<Took, Box<dyn Error>> {
    let how = how.replace(", ", " ").replace(' ', "-");
    let invocation = format!("bench-sharing-{backend}-{kind}-{how}-{}", std::process::id());
    let filters = ["three", "four", "five"].map(|size| format!("{backend}::{kind}_{size}::"));
    let args = [args, &filters.each_ref().map(String::as_str)].concat();
    let began = Instant::now();
    let started = Invocation::start(name, &invocation, 20, &args).map_err(|error| text(&error))?;
    let (passed, said) = started.end().map_err(|error| text(&error))?;
    let seconds = began.elapsed().as_secs_f64();
    if !passed {
        return Err(said.into());
    }
    let (clusters, records) = read(&folder(&invocation)?)?;
    let later = records
        .iter()
        .filter(|record| record.neighbours.as_ref().is_some_and(|neighbours| !neighbours.others.is_empty()));
    let later: Vec<_> = later.filter(|_| name == "cargo-nextest").collect();
    let phase = |which: Phase| Percentiles::of(later.iter().filter_map(|record| seconds_of(record, which)));
    Ok(Took { seconds, clusters, attached: phase(Phase::Queue).zip(phase(Phase::Ready)) })
}

fn text(failed: &libtest_mimic::Failed) -> String {
    failed.message().unwrap_or_default().to_owned()
}

fn seconds_of(record: &Record, phase: Phase) -> Option<f64> {
    record.phases.iter().find(|time| time.phase == phase)?.seconds
}

fn folder(invocation: &str) -> Result<PathBuf, Box<dyn Error>> {
    let target = Path::new(env!("CARGO_BIN_EXE_devnode")).ancestors().nth(2).ok_or("no target folder")?;
    Ok(target.join("scenario").join(invocation))
}

/// The number of clusters in an invocation's folder, and the reports.
fn read(folder: &Path) -> Result<(usize, Vec<Record>), Box<dyn Error>> {
    let (mut clusters, mut records) = (0, Vec::new());
    for case in fs::read_dir(folder)? {
        let case = case?;
        // The index is beside the folders of cases.
        if !case.file_type()?.is_dir() {
            continue;
        }
        for attempt in fs::read_dir(case.path())? {
            match fs::read_to_string(attempt?.path().join("report.json")) {
                Ok(report) => records.push(serde_json::from_str(&report)?),
                Err(_) => clusters += 1,
            }
        }
    }
    Ok((clusters, records))
}

/// The time from the start of a program to its body, on a cluster that lingered.
fn linger(backend: &str) -> Result<(), Box<dyn Error>> {
    let case = format!("{backend}::shared_four::a");
    for round in ["cold", "warm", "warm"] {
        let invocation = format!("bench-linger-{backend}-{}", std::process::id());
        let env = [("SCENARIO_LINGER", "1m")];
        let began = Instant::now();
        let started = Invocation::start_with("cargo", &invocation, 21, &["--exact", &case], &env);
        let mut started = started.map_err(|error| text(&error))?;
        let mut lines = BufReader::new(started.child.stderr.take().ok_or("stderr is piped")?).lines();
        let body = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("capturing")));
        let took = began.elapsed();
        body.ok_or("the case never began")??;
        lines.for_each(drop);
        started.child.wait()?;
        println!("{backend}, {round}: the body is reached {} after the program's start", seconds(took));
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
