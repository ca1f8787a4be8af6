//! Scenarios written in Gherkin: the phrases, and one run of one scenario of a feature file.
//!
//! A feature describes what [`ScenarioBuilder`](logos_scenario::ScenarioBuilder) is told; `When run scenario` deploys and runs it, and a `Then` says
//! what has to come of it. All phrases:
//!
//! | phrase | tells the builder |
//! |---|---|
//! | `deployer is "local"` | the backend: `local`, `compose` or `k8s` |
//! | `topology has 3 validators and 1 executors` | how many nodes of each role |
//! | `topology layout is "star"` | who dials whom: `star`, `chain` or `full` |
//! | `slot duration is 500 milliseconds` | how long a slot lasts |
//! | `wallets total funds is 5000 split across 50 users` | the accounts in genesis |
//! | `run duration is 60 seconds` | the window |
//! | `seed is 7` | what repeats the run |
//! | `transactions rate is 5 per block`, `transactions rate is 5 per block using 20 users` | a workload of transactions |
//! | `data availability channel rate is 1 per block and blob rate is 2 per block` | a workload of blobs |
//! | `node "validator-1" is killed at height 5 and comes back after 3 blocks` | chaos, by a script |
//! | `node "validator-1" is restarted at height 5` | the same: it is stopped and started |
//! | `node "validator-1" is paused at height 5 for 3 blocks` | the same: it does nothing |
//! | `node "validator-1" is cut off at height 5 for 3 blocks` | the same: no other node hears it |
//! | `expect consensus liveness`, `consensus liveness lag allowance is 3` | the chain grows, on every node |
//! | `run scenario` | deploys, runs, tears down |
//! | `scenario should succeed` | every expectation held |
//! | `scenario should fail with "NoCrash"` | it failed, and its message has this text |
//!
//! Each scenario of `tests/features` is a test, `<backend>::<scenario>::<line>`: `cargo nextest run --profile ci` writes
//! their JUnit as that of all others. `cucumber_local`, `cucumber_compose` and `cucumber_k8s` run the files that they are
//! given, and write JUnit where `--junit` says.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use cucumber::feature::Ext;
use cucumber::gherkin::{Feature, GherkinEnv, Step};
use cucumber::writer::{self, Coloring, Stats, Verbosity};
use cucumber::{World, WriterExt, cli};
use logos_scenario::{ComposeDeployer, Deployer, K8sDeployer, LocalDeployer};
use logos_scenario_devnode::Devnode;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

mod steps;
use steps::Steps;

/// The backends that features may name.
pub const DEPLOYERS: [&str; 3] = ["local", "compose", "k8s"];

static PROGRAM: OnceLock<Devnode> = OnceLock::new();

/// One scenario of a feature file, a row of its examples where it has some.
#[derive(Clone, Debug)]
pub struct Written {
    /// The feature file.
    pub path: PathBuf,
    /// The line in it.
    pub line: usize,
    /// Name of the scenario.
    pub name: String,
    /// The backend that its steps name.
    pub deployer: String,
    /// Why its steps are not all phrases that are known.
    unknown: Vec<String>,
}

/// All scenarios of the feature files in a folder, or of one file, in the order in which they are written.
///
/// # Errors
///
/// A file that cannot be read, or is no Gherkin.
pub fn scenarios(place: &Path) -> Result<Vec<Written>> {
    let mut files = vec![place.to_owned()];
    if place.is_dir() {
        let entries = std::fs::read_dir(place).with_context(|| place.display().to_string())?;
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        files = paths.into_iter().filter(|path| path.extension().is_some_and(|it| it == "feature")).collect();
        files.sort();
    }
    let mut written = Vec::new();
    for path in files {
        let feature = Feature::parse_path(&path, GherkinEnv::default())
            .map_err(|error| anyhow!("{}: {error}", path.display()))?;
        let feature = feature.expand_examples().map_err(|error| anyhow!("{}: {error}", path.display()))?;
        let background = feature.background.as_ref().map(|background| background.steps.clone());
        for scenario in &feature.scenarios {
            let steps = background.iter().flatten().chain(&scenario.steps);
            let unknown = steps.clone().filter_map(|step| unknown(&path, step)).collect();
            let deployer = steps.filter_map(|step| step.value.strip_prefix("deployer is \"")).next_back();
            written.push(Written {
                path: path.clone(),
                line: scenario.position.line,
                name: scenario.name.clone(),
                deployer: deployer.unwrap_or_default().trim_end_matches('"').to_owned(),
                unknown,
            });
        }
    }
    Ok(written)
}

/// Why a step is none of the phrases, if so.
fn unknown(path: &Path, step: &Step) -> Option<String> {
    let why = match Steps::collection().find(step) {
        Ok(Some(_)) => return None,
        Ok(None) => "is no phrase".to_owned(),
        Err(ambiguous) => ambiguous.to_string(),
    };
    let nearest = phrases().max_by(|one, other| {
        let likeness = |phrase| strsim::normalized_levenshtein(phrase, &step.value);
        likeness(one).total_cmp(&likeness(other))
    });
    let place = format!("{}:{}", path.display(), step.position.line);
    Some(format!("{place}: `{}` {why}, the most alike is `{}`", step.value, nearest.unwrap_or_default()))
}

/// All phrases, as the documentation above has them.
fn phrases() -> impl Iterator<Item = &'static str> {
    let rows = include_str!("gherkin.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    rows.filter_map(|row| row.split_once("` | ")).flat_map(|(phrases, _)| phrases.split("`, `"))
}

/// Runs one scenario with devnodes of this program.
///
/// # Errors
///
/// Every step that is no phrase, or what the steps printed of which one failed.
pub async fn run(written: &Written, program: Devnode) -> Result<(), String> {
    if !written.unknown.is_empty() {
        return Err(written.unknown.join("\n"));
    }
    PROGRAM.get_or_init(|| program);
    let printed = Printed::default();
    let line = written.line;
    let ran = Steps::cucumber()
        .with_writer(
            writer::Basic::raw(printed.clone(), Coloring::Never, Verbosity::Default)
                .normalized()
                .summarized(),
        )
        .fail_on_skipped()
        .with_cli::<cli::Empty>(cli::Opts::default())
        .filter_run(written.path.clone(), move |_, _, scenario| scenario.position.line == line)
        .await;
    if ran.execution_has_failed() || ran.passed_steps() == 0 { Err(printed.text()) } else { Ok(()) }
}

/// Whether a backend can be used here; what is missing, if not.
///
/// # Errors
///
/// What is missing, and what to try.
pub async fn available(deployer: &str) -> Result<(), String> {
    match deployer {
        "local" => LocalDeployer::default().available().await,
        "compose" => ComposeDeployer::default().available().await,
        "k8s" => K8sDeployer::default().available().await,
        // The step says what is wrong.
        _ => return Ok(()),
    }
    .map_err(|unavailable| unavailable.to_string())
}

/// What a run prints, kept until it is known whether anybody wants it.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came of a scenario, for a report.
fn case(written: &Written, took: Duration, failure: Option<String>) -> TestCase {
    let status = match failure {
        None => TestCaseStatus::success(),
        Some(said) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            // What the step said that failed, or the first one that is no phrase.
            let reason = said.split_once("Captured output: ").map_or(said.as_str(), |(_, reason)| reason);
            status.set_message(reason.lines().next().unwrap_or_default()).set_description(said);
            status
        }
    };
    let mut case = TestCase::new(written.name.as_str(), status);
    case.set_classname(format!("{}:{}", written.path.display(), written.line)).set_time(took);
    case
}

/// Where this package keeps its features.
pub fn features() -> &'static Path {
    static FEATURES: LazyLock<PathBuf> =
        LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("features"));
    &FEATURES
}

/// Runs the scenarios of feature files that name one deployer.
#[derive(Parser)]
struct Args {
    /// Feature files, or folders of them
    #[arg(default_value = features().as_os_str())]
    places: Vec<PathBuf>,
    /// Run only scenarios whose name has this text
    #[arg(short, long, default_value = "")]
    name: String,
    /// Write what came of each scenario to this file, as JUnit
    #[arg(long)]
    junit: Option<PathBuf>,
}

/// A runner of feature files for one deployer.
///
/// Exit codes: 0 passed, 1 failed, 2 usage, 3 backend unavailable.
pub async fn main(deployer: &str) -> ExitCode {
    let args = Args::parse();
    if let Err(unavailable) = available(deployer).await {
        eprintln!("{unavailable}");
        return ExitCode::from(3);
    }
    let mut chosen = Vec::new();
    for place in &args.places {
        match scenarios(place) {
            Ok(written) => chosen.extend(written),
            Err(error) => {
                eprintln!("{error:#}");
                return ExitCode::from(2);
            }
        }
    }
    chosen.retain(|written| written.deployer == deployer && written.name.contains(&args.name));
    if chosen.is_empty() {
        eprintln!("no scenario with `deployer is \"{deployer}\"` is named `…{}…`", args.name);
        return ExitCode::from(2);
    }
    // What cannot be written is told before anything runs.
    let junit =
        args.junit.as_deref().map(|path| File::create(path).with_context(|| path.display().to_string()));
    let junit = match junit.transpose() {
        Ok(junit) => junit,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::from(2);
        }
    };
    let mut failed = 0;
    let mut suites: Vec<TestSuite> = Vec::new();
    for written in &chosen {
        let began = Instant::now();
        let outcome = run(written, Devnode::at(crate::beside("devnode"))).await;
        match &outcome {
            Ok(()) => println!("passed: {}", written.name),
            Err(said) => {
                failed += 1;
                println!("failed: {}\n{said}", written.name);
            }
        }
        let (file, case) =
            (written.path.display().to_string(), case(written, began.elapsed(), outcome.err()));
        // Scenarios come file by file.
        match suites.last_mut().filter(|suite| suite.name.as_str() == file) {
            Some(suite) => _ = suite.add_test_case(case),
            None => {
                let mut suite = TestSuite::new(file);
                suite.add_test_case(case);
                suites.push(suite);
            }
        }
    }
    let mut report = Report::new(format!("cucumber_{deployer}"));
    report.add_test_suites(suites);
    if let Some(error) = junit.and_then(|junit| report.serialize(junit).err()) {
        eprintln!("the JUnit file cannot be written: {error}");
        return ExitCode::FAILURE;
    }
    println!("{} of {} scenarios passed", chosen.len() - failed, chosen.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> Step {
        let feature = format!("Feature: f\n  Scenario: s\n    {text}\n");
        let feature = Feature::parse(feature, GherkinEnv::default()).expect("it is Gherkin");
        feature.scenarios[0].steps[0].clone()
    }

    #[test]
    fn what_is_documented_is_known() {
        assert!(phrases().count() > 15, "{:?}", phrases().collect::<Vec<_>>());
        for phrase in phrases() {
            let known = ["Given", "When", "Then"].map(|word| step(&format!("{word} {phrase}")));
            assert!(
                known.iter().any(|step| unknown(Path::new(""), step).is_none()),
                "`{phrase}` is no phrase"
            );
        }
    }

    #[test]
    fn a_step_that_is_no_phrase_is_told_with_its_place_and_the_nearest() {
        let told = unknown(Path::new("a.feature"), &step("Given topology has 2 validator and 0 executors"));
        assert_eq!(
            told.as_deref(),
            Some(
                "a.feature:3: `topology has 2 validator and 0 executors` is no phrase, the most alike is `topology has 3 \
                 validators and 1 executors`"
            )
        );
    }
}
