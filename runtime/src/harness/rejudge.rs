//! `--rejudge DIRECTORY`: runs that are over, judged by what their scenarios expect today.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::body;
use super::logs::{self, Logs};
use crate::case::Case;
use crate::failure::{Failure, RunFailed};
use crate::replay::{BODY, Recording};
use crate::report::{Drive, Phase, Record, Saved, Verdict, html, index, mask};
use crate::run::{BY_HAND, Place, Run, found};
use crate::runner::Runner;
use crate::scenario::Scenario;

/// What a function may take beyond its run, on the recording's clock.
const BEYOND: Duration = Duration::from_secs(10 * 60);

/// Judges a run again, or all runs of an invocation, and says what changed; fails where one does not pass today.
pub(super) fn all(directory: &str, cases: &[(String, Case)]) -> ExitCode {
    let runs = match index::runs(&found(directory)) {
        Ok(runs) => runs,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    logs::install(false);
    let mut verdicts = Vec::new();
    for run in runs {
        match again(&run, cases) {
            Ok(rejudged) => {
                println!("{}", mask::text(&rejudged.to_string()));
                verdicts.push(rejudged.passes());
            }
            Err(why) => println!("{}: not judged again: {why}", run.display()),
        }
    }
    super::write_index();
    if !verdicts.is_empty() && verdicts.iter().all(|passes| *passes) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A run by what its scenario expects today.
struct Rejudged {
    then: Record,
    today: Record,
    /// What was asked for in vain, by who asked.
    lacked: BTreeMap<String, BTreeSet<String>>,
    page: PathBuf,
}

fn again(directory: &Path, cases: &[(String, Case)]) -> Result<Rejudged, String> {
    let saved = Saved::read(directory).map_err(|error| error.to_string())?;
    let then = saved.record.clone();
    if then.case == BY_HAND {
        return Err("it was run by hand, and by no scenario of a program".to_owned());
    }
    let Some((name, case)) = cases.iter().find(|(name, _)| *name == then.case) else {
        return Err(format!("this program has no scenario `{}`", then.case));
    };
    let scenario = case.scenario(then.seed).map_err(|error| error.to_string())?;
    can_be_judged(&then, &scenario)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    Logs::default().attach();
    runtime.map_err(|error| format!("there can be no runtime: {error}"))?.block_on(async {
        let place = Place::of_case(name).map_err(|error| error.to_string())?;
        let recording = Arc::new(Recording::new(directory, saved));
        let failures = judge(case, &scenario, &recording, &place).await?;
        let mut lacked = recording.lacked().clone();
        if !failures.iter().any(|failure| failure.subject == BODY) {
            lacked.remove(BODY);
        } else if !lacked.is_empty() {
            lacked
                .entry(BODY.to_owned())
                .or_default()
                .insert("it goes by what is not judged again".to_owned());
        }
        let failures = verdict(&then, failures, &lacked);
        let text = RunFailed { failures: failures.clone() }.to_string();
        let passed = match case.def.args.should_fail {
            Some(should) => text.contains(should),
            None => failures.is_empty(),
        };
        place.journal().conclude(passed, &failures, then.repeat.clone());
        let (today, page) = (place.journal().record(), place.directory().join(html::FILE));
        Ok(Rejudged { then, today, lacked, page })
    })
}

/// Why the files of a run do not tell enough of it.
fn can_be_judged(then: &Record, scenario: &Scenario) -> Result<(), String> {
    if then.drives.is_empty() {
        let last = then.phases.last().map_or_else(|| "queue".to_owned(), |it| it.phase.to_string());
        return Err(format!("it ended in its phase {last}, before anything was judged"));
    }
    if then.slot_zero.is_none() {
        return Err(
            "an older version of the framework wrote it, which did not say when slots began".to_owned()
        );
    }
    let mut topology = serde_json::to_value(&scenario.topology).expect("a topology is plain data");
    mask::value(&mut topology);
    if topology != then.topology {
        return Err("its scenario has another topology today, whose chain would have been another".to_owned());
    }
    Ok(())
}

/// Plays the run to the scenario's function; what failed.
async fn judge(
    case: &Case,
    scenario: &Scenario,
    recording: &Arc<Recording>,
    place: &Place,
) -> Result<Vec<Failure>, String> {
    let journal = place.journal();
    let then = recording.record();
    let before = then.phases.iter().take_while(|it| it.phase != Phase::Capture).cloned().collect();
    journal.describe(|record| {
        *record = Record {
            invocation: record.invocation.clone(),
            judges: Some(recording.directory().to_owned()),
            phases: before,
            drives: Vec::new(),
            failures: Vec::new(),
            verdict: Verdict::Running,
            class: None,
            window: scenario.window.to_string(),
            ..then.clone()
        };
    });
    let runner = Runner::on_recording(recording, scenario, journal).await;
    let mut run = Run::new(runner);
    let drives = run.drives();
    let seconds = then.phases.last().map_or(0.0, |it| it.at + it.seconds.unwrap_or_default());
    let within = Duration::from_secs_f64(seconds) + BEYOND;
    let Ok(failure) = tokio::time::timeout(within, body::returned(case, &mut run)).await else {
        return Err("its function waits for something that the run's files do not tell".to_owned());
    };
    let concluded = drives.conclude(failure.is_some());
    run.into_runner().leave().await;
    let done = journal.record().drives.len();
    if done < then.drives.len() {
        let asked = recording.lacked().get(BODY).map(listed);
        let why = asked.or_else(|| Some(format!("\n{}", failure.as_ref()?))).unwrap_or_default();
        return Err(format!("its function came to {done} of {} drives: {why}", then.drives.len()));
    }
    let failed = concluded.err().map(|failed| failed.failures).unwrap_or_default();
    Ok(failed.into_iter().chain(failure).collect())
}

/// What failed today; of what is not judged again, what failed then.
fn verdict(then: &Record, today: Vec<Failure>, lacked: &BTreeMap<String, BTreeSet<String>>) -> Vec<Failure> {
    let is_judged = |failure: &Failure| !lacked.contains_key(subject(failure));
    let judged_then: Vec<_> = then.drives.iter().flat_map(|drive| &drive.failures).collect();
    // Such as a teardown that left something.
    let beside = |failure: &Failure| !judged_then.contains(&failure) && failure.subject != BODY;
    let as_then = then.failures.iter().filter(|failure| !is_judged(failure) || beside(failure));
    today.into_iter().filter(is_judged).chain(as_then.cloned()).collect()
}

/// Whose failure it is.
fn subject(failure: &Failure) -> &str {
    failure.subject.strip_prefix("capture of ").unwrap_or(&failure.subject)
}

/// What became of each name in all drives.
fn said(drives: &[Drive]) -> BTreeMap<&str, bool> {
    let mut said: BTreeMap<&str, bool> =
        drives.iter().flat_map(|drive| &drive.held).map(|name| (name.as_str(), true)).collect();
    said.extend(drives.iter().flat_map(|drive| &drive.failures).map(|failure| (subject(failure), false)));
    said
}

fn listed(what: &BTreeSet<String>) -> String {
    what.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
}

impl Rejudged {
    fn passes(&self) -> bool {
        self.today.verdict == Verdict::Passed
    }
}

impl fmt::Display for Rejudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { then, today, lacked, page } = self;
        let passed = |record: &Record| if record.verdict == Verdict::Passed { "passed" } else { "failed" };
        writeln!(f, "{}: {} then, {} today", then.case, passed(then), passed(today))?;
        if then.window != today.window {
            writeln!(
                f,
                "  window: {} then, {} today; it ends with the run at the latest",
                then.window, today.window
            )?;
        }
        let (mut before, now) = (said(&then.drives), said(&today.drives));
        before.retain(|name, _| !lacked.contains_key(*name));
        let mut alike = Vec::new();
        let then_word = |held: Option<&bool>| match held {
            Some(true) => "held then",
            Some(false) => "failed then",
            None => "not expected then",
        };
        for (name, holds) in now.iter().filter(|(name, _)| !lacked.contains_key(**name)) {
            let was = before.remove(name);
            let is = if *holds { "holds" } else { "fails" };
            match was == Some(*holds) {
                true => alike.push(format!("{name} {is}")),
                false => writeln!(f, "  changed: {name} {is}, {}", then_word(was.as_ref()))?,
            }
        }
        for (name, held) in before {
            writeln!(f, "  changed: {name} is not expected today, {}", then_word(Some(&held)))?;
        }
        if !alike.is_empty() {
            writeln!(f, "  as then: {}", alike.join(", "))?;
        }
        let before = said(&then.drives);
        for (name, what) in lacked {
            let (name, was) = (name.as_str(), before.get(name.as_str()));
            let was = was.map(|held| format!(" ({})", then_word(Some(held)))).unwrap_or_default();
            writeln!(f, "  not judged again: {name}{was}: {}", listed(what))?;
        }
        if today.verdict != Verdict::Passed {
            writeln!(f, "\n{}\n", RunFailed { failures: today.failures.clone() })?;
        }
        write!(f, "  report: {}", page.display())
    }
}
