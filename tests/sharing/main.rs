//! Clusters are shared: by the cases of one program, by programs of one invocation, and by processes of one case
//! each; and what one does to its cluster harms no other.
//!
//! This program runs itself as a test program of real nodes, under a stand-in for `cargo` or `cargo-nextest`.

mod attach;
mod disk;
mod keeper;
mod runner;
mod storm;
mod suite;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use logos_scenario::report::Record;
use logos_scenario::{ComposeDeployer, Deployer};
use logos_scenario_devnode::Devnode;
use runner::{EACH, Invocation, THEN};

/// The first argument of the inner program.
pub(crate) const INNER: &str = "inner";

type Check = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if runner::is_stand_in(&args[0]) {
        return runner::main(&args[1..]);
    }
    if args.get(1).is_some_and(|arg| arg == INNER || arg.starts_with("--scenario-keeper")) {
        return inner(args);
    }
    let checks: [(&str, Check); 14] = [
        ("twenty_cases_of_one_process_have_three_clusters", one_process),
        ("twenty_processes_have_three_clusters", a_process_each),
        ("verdicts_are_those_of_fresh_clusters", verdicts),
        ("programs_of_one_invocation_share_a_cluster", two_programs),
        ("a_retry_has_a_cluster_of_its_own", a_retry),
        ("a_cluster_that_was_harmed_is_used_no_more", harm),
        ("a_failure_is_blamed_on_all_that_overlapped_with_it", blame),
        ("a_failure_says_whether_it_happens_alone", taste),
        ("a_keeper_that_is_killed_while_it_deploys_is_replaced", keeper::killed_while_it_deploys),
        ("a_cluster_that_lingers_is_adopted", keeper::lingers_and_is_adopted),
        ("a_keeper_says_what_it_keeps", keeper::says_what_it_keeps),
        ("scenarios_run_on_a_kept_cluster", attach::scenarios_run_on_a_kept_cluster),
        ("scenarios_run_on_nodes_of_somebody_else", attach::scenarios_run_on_nodes_of_somebody_else),
        ("a_storm_leaves_no_process", storm::over_processes),
    ];
    let mut trials: Vec<_> = checks.map(|(name, check)| Trial::test(name, check)).into();
    trials.push(Trial::ignorable_test("a_disk_without_room_for_a_keeper_is_told", disk::no_keeper_starts));
    trials.push(Trial::ignorable_test("a_keeper_needs_no_room_for_its_log", disk::the_log_is_full));
    let arguments = Arguments::from_args();
    let containers: [(&str, Check); 3] = [
        ("compose::containers_are_shared_and_harmed_alike", containers),
        ("compose::a_storm_leaves_no_container", storm::over_containers),
        ("compose::what_nobody_watches_is_left_to_the_next_invocation", storm::over_watchers),
    ];
    trials.extend(containers.map(|(name, check)| with_engine(name, check, arguments.list)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Without an engine the check is ignored with the reason, unless that is required.
fn with_engine(name: &str, check: Check, list: bool) -> Trial {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let available = runtime.expect("a runtime can be made").block_on(ComposeDeployer::default().available());
    let missing = available.err().filter(|_| !logos_scenario::env::is_required("compose"));
    let ignored = list && missing.is_some();
    let run = move || match missing {
        Some(missing) => Ok(Completion::ignored_with(missing.to_string())),
        None => check().map(|()| Completion::Completed),
    };
    Trial::ignorable_test(name, run).with_ignored_flag(ignored)
}

fn inner(args: Vec<String>) -> ExitCode {
    let mut args: Vec<_> = args.into_iter().filter(|arg| arg != INNER).collect();
    // Nextest names the program after its runner, which is the program.
    if args.get(1) == args.first() {
        args.remove(0);
    }
    let args = args.into_iter();
    let program = logos_scenario::harness::Program { main_crate: module_path!(), libraries: &[] };
    let devnode = Devnode::at(env!("CARGO_BIN_EXE_devnode"));
    logos_scenario::harness::run(args, program, devnode, &logos_scenario::backends())
}

fn demand(holds: bool, what: impl std::fmt::Display) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what.to_string().into()) }
}

fn has(said: &str, texts: &[&str]) -> Result<(), Failed> {
    let missing: Vec<_> = texts.iter().filter(|text| !said.contains(**text)).collect();
    demand(missing.is_empty(), format_args!("missing {missing:?} in:\n{said}"))
}

/// The files of one invocation, which are removed where the check was passed.
struct Files {
    name: String,
    folder: PathBuf,
}

impl Files {
    fn of(check: &str) -> Result<Self, Failed> {
        let name = format!("sharing-{check}-{}", std::process::id());
        let target = Path::new(env!("CARGO_BIN_EXE_devnode")).ancestors().nth(2);
        let folder = target.ok_or("it is in the target folder")?.join("scenario").join(&name);
        Ok(Self { name, folder })
    }

    /// How many clusters there were.
    fn clusters(&self) -> Result<usize, Failed> {
        let mut clusters = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("cluster-") {
                clusters += fs::read_dir(entry.path())?.count();
            }
        }
        Ok(clusters)
    }

    /// The reports by case and attempt.
    fn reports(&self) -> Result<BTreeMap<String, Record>, Failed> {
        let mut reports = BTreeMap::new();
        for case in fs::read_dir(&self.folder)? {
            let case = case?;
            // The index is beside the folders of cases.
            if !case.file_type()?.is_dir() {
                continue;
            }
            for attempt in fs::read_dir(case.path())? {
                let attempt = attempt?;
                let Ok(text) = fs::read_to_string(attempt.path().join("report.json")) else { continue };
                let name = [case.file_name(), attempt.file_name()].map(|name| name.display().to_string());
                reports.insert(name.join("/"), serde_json::from_str(&text)?);
            }
        }
        Ok(reports)
    }

    /// Removes them when no cluster uses them any more.
    fn remove(&self) -> Result<(), Failed> {
        let here = self.folder.display().to_string();
        keeper::clusters(|listed| !listed.iter().any(|it| it.to_string().contains(&here)))?;
        Ok(fs::remove_dir_all(&self.folder)?)
    }
}

const SUITE: [&str; 3] = ["single::", "pair::", "mixed::"];

fn one_process() -> Result<(), Failed> {
    let files = Files::of("process")?;
    let (passed, said) = Invocation::start("cargo", &files.name, 41, &SUITE)?.end()?;
    demand(passed && said.contains("20 passed"), &said)?;
    has(&said, &["clusters: 3 made for 20 leases of 3 keys: 3 first of its key"])?;
    let clusters = files.clusters()?;
    demand(clusters == 3, format_args!("{clusters} clusters:\n{said}"))?;
    files.remove()
}

fn a_process_each() -> Result<(), Failed> {
    let files = Files::of("each")?;
    let filters = ["--", "single::", "pair::", "mixed::"];
    let nextest = match Invocation::nextest(&files.name, 42, &filters)? {
        Some(nextest) => nextest,
        None => Invocation::start("cargo-nextest", &files.name, 42, &[&[EACH][..], &SUITE].concat())?,
    };
    let (passed, said) = nextest.end()?;
    demand(passed, &said)?;
    let clusters = files.clusters()?;
    demand(clusters == 3, format_args!("{clusters} clusters:\n{said}"))?;
    let reports = files.reports()?;
    demand(reports.len() == 20, format_args!("{:?}", reports.keys()))?;
    let made: Vec<_> = reports.into_values().filter_map(|report| report.neighbours?.made).collect();
    demand(made == ["first of its key"; 3], format_args!("{made:?}"))?;
    files.remove()
}

/// The suite with one case that fails, on clusters that are shared and on one for each case.
fn verdicts() -> Result<(), Failed> {
    let cases = [&[EACH][..], &SUITE, &["d_dislikes_everything"]].concat();
    let told = |check: &str, most: usize, attempt: &str, clusters: usize| {
        let files = Files::of(check)?;
        let attempt = [("NEXTEST_ATTEMPT", attempt)];
        let (passed, said) =
            Invocation::start_with("cargo-nextest", &files.name, most, &cases, &attempt)?.end()?;
        let made = files.clusters()?;
        demand(!passed && made == clusters, format_args!("{made} clusters:\n{said}"))?;
        let reports = files.reports()?.into_iter();
        let verdicts = reports.map(|(name, report)| {
            let case = name.split('/').next().unwrap_or_default().to_owned();
            (case, (report.verdict, report.failures.into_iter().map(|it| it.subject).collect::<Vec<_>>()))
        });
        let verdicts: BTreeMap<_, _> = verdicts.collect();
        files.remove().map(|()| verdicts)
    };
    let (shared, fresh) = (told("shared", 55, "1", 4)?, told("fresh", 56, "2", 21)?);
    demand(shared.len() == 21 && shared == fresh, format_args!("shared {shared:#?}\nfresh {fresh:#?}"))
}

fn two_programs() -> Result<(), Failed> {
    let files = Files::of("programs")?;
    let args = ["single::a", THEN, "single::b"];
    let (passed, said) = Invocation::start("cargo", &files.name, 43, &args)?.end()?;
    demand(passed, &said)?;
    let clusters = files.clusters()?;
    demand(clusters == 1, format_args!("{clusters} clusters:\n{said}"))?;
    files.remove()
}

fn a_retry() -> Result<(), Failed> {
    let files = Files::of("retry")?;
    let args = ["--exact", "local::suite::single::a", THEN, "--exact", "local::suite::single::a"];
    let again = [("NEXTEST_ATTEMPT", "2")];
    let (passed, said) = Invocation::start_with("cargo-nextest", &files.name, 54, &args, &again)?.end()?;
    demand(passed, &said)?;
    let clusters = files.clusters()?;
    demand(clusters == 2, format_args!("{clusters} clusters:\n{said}"))?;
    files.remove()
}

fn harm() -> Result<(), Failed> {
    let files = Files::of("harm")?;
    let args = ["harm::", "--test-threads", "1"];
    let (passed, said) = Invocation::start("cargo", &files.name, 44, &args)?.end()?;
    demand(passed, &said)?;
    let reports = files.reports()?;
    let neighbours =
        |case: &str| reports[&format!("local.suite.harm.{case}/1")].neighbours.clone().unwrap_or_default();
    let (culprit, next) = (neighbours("a_stops_a_node"), neighbours("b_needs_both_nodes"));
    let bad = "after local::suite::harm::a_stops_a_node: validator-1: ";
    demand(next.made.as_deref() == Some("after one that went bad"), format_args!("{:?}", next.made))?;
    for told in [culprit.poison, next.replaces] {
        demand(told.as_ref().is_some_and(|told| told.starts_with(bad)), format_args!("{told:?}:\n{said}"))?;
    }
    files.remove()
}

fn blame() -> Result<(), Failed> {
    let files = Files::of("blame")?;
    let isolate = [("SCENARIO_ISOLATE", "off")];
    let args = ["beside::", THEN, "afterwards::"];
    let (passed, said) = Invocation::start_with("cargo", &files.name, 57, &args, &isolate)?.end()?;
    demand(!passed, &said)?;
    has(&said, &["1 passed; 1 failed"])?;
    let report = files.reports()?.remove("local.suite.afterwards.c_comes_next/1").ok_or("no report")?;
    let told = report.neighbours.and_then(|neighbours| neighbours.replaces).unwrap_or_default();
    let (a, b) = ("local::suite::beside::a_is_there", "local::suite::beside::b_fails_beside_it");
    demand(told == format!("after {b}, {a}: {b} failed on it"), told)?;
    files.remove()
}

fn taste() -> Result<(), Failed> {
    let files = Files::of("taste")?;
    let args = ["taste::", "--test-threads", "1"];
    let (passed, said) = Invocation::start("cargo", &files.name, 45, &args)?.end()?;
    demand(!passed, &said)?;
    has(
        &said,
        &[
            "2 passed; 2 failed",
            "somebody was here before",
            "fails only on a shared cluster, after local::suite::taste::a_is_first; alone it passes: ",
            "fails alone, too, with body (test): ",
        ],
    )?;
    files.remove()
}

fn containers() -> Result<(), Failed> {
    let files = Files::of("containers")?;
    let (passed, said) = Invocation::start("cargo", &files.name, 49, &["contained::"])?.end()?;
    demand(passed && said.contains("4 passed"), &said)?;
    let reports = files.reports()?.into_values().filter_map(|report| report.neighbours);
    let bad = "after compose::suite::contained::d_isolates: ";
    let poisoned = |poison: Option<String>| poison.is_some_and(|poison| poison.starts_with(bad));
    demand(reports.filter(|it| poisoned(it.poison.clone())).count() == 1, &said)?;
    let clusters = files.clusters()?;
    demand(clusters <= 2, format_args!("{clusters} clusters:\n{said}"))?;
    files.remove()
}
