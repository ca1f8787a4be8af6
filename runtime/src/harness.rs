//! From registered scenarios to ordinary cargo tests.
//!
//! [`main`] is what `main!` calls: parse the arguments, collect and check the cases, hand them to
//! libtest-mimic. `attempt` is what each of them does: lease a cluster, run the body, judge, give it back.

use std::cmp::Reverse;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::{Completion, Failed, Trial};
use regex::Regex;

use crate::attach;
use crate::case::{Case, CaseBackend, CaseDef, Sharing, duplicates};
use crate::deployer::Backend;
use crate::env;
use crate::failure::{Problem, index as failure_index};
use crate::node::NodeProgram;
use crate::pool::{Pool, keeper, listing};
use crate::report::index;
use crate::run::{found, invocation, invocation_directory};
use crate::scenario::{install_program, installed_program};

mod args;
mod attempt;
mod body;
pub(crate) mod github;
mod interrupt;
mod list;
mod logs;
mod plain;
mod progress;
mod rejudge;
mod skip;
mod sweep;
pub(crate) mod trace;
mod waiting;
use args::Args;
use interrupt::Interrupt;
pub use plain::{PlainResult, PlainTest, awaited, called, plain_outcome};
use progress::Progress;
use skip::Skips;

/// What `main!` says of the program it is in.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Path of the program's own crate, which its cases' names leave out.
    pub main_crate: &'static str,
    /// Crates whose scenarios the program has to have.
    pub libraries: &'static [&'static str],
}

/// Runs all scenarios linked into this program as cargo tests; `main!` calls it.
pub fn main(program: Program, node: impl NodeProgram, backends: &[Backend]) -> ExitCode {
    run(std::env::args(), program, node, backends)
}

/// [`main`] with a command line of the caller's.
pub fn run<N: NodeProgram>(
    args: impl Iterator<Item = String>,
    program: Program,
    node: N,
    backends: &[Backend],
) -> ExitCode {
    install_program(node);
    if let Err(problems) = env::check() {
        return refuse(problems);
    }
    let args: Vec<String> = args.collect();
    if let [_, first, order] = &args[..]
        && first == keeper::ARGUMENT
    {
        return keep(order, backends);
    }
    let args = match args::parse(args.into_iter(), &env::settings().libtest) {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    if let Some(directory) = &args.render {
        return render(directory);
    }
    if let Some(code) = &args.explain {
        return explain(code);
    }
    if args.sweep {
        return sweep::all(backends);
    }
    if let Some(problem) = attach::problem() {
        return refuse(&[problem]);
    }
    let backends = &attach::instead(backends);
    let (cases, mut problems) = Case::all(program.main_crate, backends);
    let tests = plain::all(program.main_crate);
    let places = cases.iter().map(|(name, case)| (name, case.location()));
    problems.extend(duplicates(places.chain(tests.iter().map(|(name, test)| (name, test.location())))));
    problems.extend(dropped(&program, cases.is_empty() && tests.is_empty()));
    if !problems.is_empty() {
        return refuse(&problems);
    }
    if args.list_tags {
        list_tags(&cases);
        return ExitCode::SUCCESS;
    }
    if let Some(directory) = &args.rejudge {
        return rejudge::all(directory, &cases);
    }
    if args.clusters {
        return listing::print(args.wants_json());
    }
    let pool = match pool::<N>(backends) {
        Ok(pool) => pool,
        Err(error) => {
            eprintln!("error: there can be no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    run_cases(args, program.main_crate, &cases, &tests, pool)
}

/// Makes pages of runs from what their directories hold.
fn render(directory: &str) -> ExitCode {
    match index::render(&found(directory)) {
        Ok(made) => {
            made.iter().for_each(|page| println!("{}", page.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says what there is to say of a kind of failure.
fn explain(code: &str) -> ExitCode {
    if let Some(text) = failure_index::section(code) {
        // A terminal has no use for where links lead.
        let links = Regex::new(r"\[(`[^`]+`)\]\([^)]+\)").expect("the pattern is valid");
        println!("{}", links.replace_all(text, "$1"));
        return ExitCode::SUCCESS;
    }
    let codes: Vec<_> = failure_index::sections().map(|(code, _)| code).collect();
    eprintln!("error: no failure has the code `{code}`; there are {}", codes.join(", "));
    ExitCode::from(101)
}

/// Makes the page of all cases of this invocation, of which other processes may have run some.
fn write_index() {
    let directory = invocation_directory(invocation());
    if let Err(error) = index::write(&directory) {
        eprintln!("warning: {} has no new index: {error}", directory.display());
    }
}

/// Owns clusters for test programs, of which this process is none.
fn keep(order: &str, backends: &[Backend]) -> ExitCode {
    let program = installed_program().expect("it is installed above");
    let own = own_backends();
    keeper::run(order, backends.iter().cloned().chain(own).collect(), program)
}

/// The clusters of this program's cases. A program with backends of its own shares them with none.
fn pool<N: NodeProgram>(backends: &[Backend]) -> std::io::Result<Pool> {
    let own = own_backends();
    let executable = (!own.is_empty()).then(|| {
        let path = std::env::current_exe().unwrap_or_default();
        let built = path.metadata().and_then(|file| file.modified());
        format!("{} {built:?}", path.display())
    });
    let backends: Vec<_> = backends.iter().cloned().chain(own).collect();
    let settings = |backend: &Backend| (backend.id(), backend.deployer().settings());
    let parts = keeper::Parts {
        framework: env!("SCENARIO_SOURCES"),
        backends: backends.iter().map(settings).collect(),
        program: std::any::type_name::<N>(),
        executable,
    };
    Pool::new(backends, installed_program().expect("it is installed above"), parts)
}

/// Deployers that scenarios name by themselves.
fn own_backends() -> Vec<Backend> {
    let all = inventory::iter::<CaseDef>().flat_map(|def| def.args.backends);
    let mut own: Vec<_> = all.filter_map(CaseBackend::own).collect();
    own.sort_by_key(Backend::id);
    own.dedup_by_key(|backend| backend.id());
    own
}

/// Tells what is wrong before anything runs; the exit code of a program that does not.
pub fn refuse(problems: &[Problem]) -> ExitCode {
    problems.iter().for_each(|problem| eprintln!("error: {problem}"));
    ExitCode::from(101)
}

/// Registrations that the linker left out, since a program has only the crates that it mentions.
fn dropped(program: &Program, nothing: bool) -> Vec<Problem> {
    let missing = |library: &&&str| {
        let inside = |module: &str| module.split("::").next() == Some(**library);
        !inventory::iter::<CaseDef>().any(|def| inside(def.module))
    };
    let mut problems: Vec<_> = (program.libraries.iter().filter(missing))
        .map(|library| {
            Problem::new(
                *library,
                "no scenario of this crate is registered",
                "look whether its modules are declared",
            )
        })
        .collect();
    if nothing && problems.is_empty() {
        problems.push(Problem::new(
            program.main_crate,
            "no scenario is registered, so that this program would test nothing",
            "declare the modules that have them, or name the crates: `main!(program = …, scenarios = [my_scenarios])`",
        ));
    }
    problems
}

fn list_tags(cases: &[(String, Case)]) {
    let mut tags: Vec<_> = cases.iter().flat_map(|(_, case)| case.def.args.tags).collect();
    tags.sort_unstable();
    for same in tags.chunk_by(|one, other| one == other) {
        println!("{}: {} cases", same[0], same.len());
    }
}

/// What all cases of one run have in common.
struct Shared {
    pool: Pool,
    interrupt: Interrupt,
    progress: Progress,
    shows_passing: bool,
    runs_ignored: bool,
    fail_fast: bool,
    has_failed: AtomicBool,
}

fn run_cases(
    args: Args,
    main_crate: &str,
    cases: &[(String, Case)],
    tests: &[(String, &'static PlainTest)],
    pool: Pool,
) -> ExitCode {
    let tags = &env::settings().tags;
    let mut chosen: Vec<bool> = cases
        .iter()
        .map(|(name, case)| {
            args.chooses(cases, name, &case.base_name(main_crate)) && tags.choose(case.def.args.tags)
        })
        .collect();
    chosen.extend(tests.iter().map(|(name, _)| args.chooses(cases, name, name) && tags.choose(&[])));
    let count = chosen.iter().filter(|chosen| **chosen).count();

    let skips =
        Skips::find(cases.iter().zip(&chosen).filter(|(_, chosen)| **chosen).map(|((_, case), _)| case));
    let arguments = args.arguments(count);
    if arguments.list {
        let entries = entries(cases, tests, &skips).zip(&chosen);
        let entries = entries.filter_map(|(entry, chosen)| chosen.then_some(entry));
        list::print(entries.collect(), &arguments);
        return ExitCode::SUCCESS;
    }
    logs::install(args.no_capture);
    let (progress, arguments) = Progress::begin(arguments, args.no_capture);
    let shared = Arc::new(Shared {
        pool,
        interrupt: Interrupt::default(),
        progress: progress.clone(),
        shows_passing: arguments.show_output,
        runs_ignored: arguments.ignored || arguments.include_ignored,
        fail_fast: args.fail_fast,
        has_failed: AtomicBool::new(false),
    });
    let mut trials: Vec<Trial> = Vec::with_capacity(chosen.len());
    // One after the other they run in the order of their names.
    let sorted = arguments.test_threads != Some(1);
    let length =
        |(index, (_, case)): (usize, &(String, Case))| (sorted && chosen[index]).then(|| case.length());
    for index in longest_first(&cases.iter().enumerate().map(length).collect::<Vec<_>>()) {
        let (name, case) = &cases[index];
        trials.push(if chosen[index] { case_trial(name, case, &skips, &shared) } else { left_out() });
    }
    for ((name, test), chosen) in tests.iter().zip(&chosen[cases.len()..]) {
        trials.push(if *chosen { plain_trial(name, test, &shared) } else { left_out() });
    }
    args.shuffle(&mut trials);
    let will_run = cases
        .iter()
        .zip(&chosen)
        .filter(|((_, case), chosen)| **chosen && (shared.runs_ignored || skips.reason(case).is_none()));
    will_run.for_each(|((_, case), _)| plan(case, &shared.pool));
    shared.interrupt.listen(&progress);
    let conclusion = libtest_mimic::run(&arguments, trials);
    write_index();
    progress.end();
    if let Some(summary) = shared.pool.summary().filter(|_| shared.pool.wants_plans()) {
        eprintln!("{summary}");
    }
    conclusion.exit_code()
}

/// What a list tells of all cases and tests.
fn entries<'a>(
    cases: &'a [(String, Case)],
    tests: &'a [(String, &'static PlainTest)],
    skips: &Skips,
) -> impl Iterator<Item = list::Entry<'a>> {
    let cases = cases.iter().map(|(name, case)| {
        let CaseDef { function, file, line, column, .. } = *case.def;
        list::Entry { name, function, file, line, column, ignored: skips.reason(case) }
    });
    let tests = tests.iter().map(|(name, test)| {
        let PlainTest { function, file, line, column, ignore, .. } = **test;
        list::Entry { name, function, file, line, column, ignored: ignore.map(skip::attribute) }
    });
    cases.chain(tests)
}

/// The order in which cases of these lengths run, so that none is left to run alone; others come last.
fn longest_first(lengths: &[Option<Duration>]) -> Vec<usize> {
    let mut order: Vec<_> = (0..lengths.len()).collect();
    order.sort_by_key(|index| Reverse(lengths[*index]));
    order
}

/// Says which cluster a case will use, unless it has one to itself.
fn plan(case: &Case, pool: &Pool) {
    if pool.wants_plans()
        && case.def.args.sharing() != Sharing::Fresh
        && let Ok(scenario) = case.scenario(0)
    {
        pool.plan(&case.backend, &scenario);
    }
}

/// A trial that [`Args::arguments`] has libtest-mimic filter out and count as such.
fn left_out() -> Trial {
    Trial::test(args::LEFT_OUT, || Ok(()))
}

fn case_trial(name: &str, case: &Case, skips: &Skips, shared: &Arc<Shared>) -> Trial {
    let (owned, case) = (name.to_owned(), case.clone());
    let reason = skips.reason(&case);
    trial(name, reason, shared, move |shared| attempt::run(&owned, &case, shared))
}

fn plain_trial(name: &str, test: &'static PlainTest, shared: &Arc<Shared>) -> Trial {
    let owned = name.to_owned();
    trial(name, test.ignore.map(skip::attribute), shared, move |shared| plain::run(&owned, test, shared))
}

/// A trial that is ignored for a reason, unless it is asked for: whoever asks for what is ignored gets it, with the
/// failure that comes of it.
fn trial(
    name: &str,
    ignored: Option<String>,
    shared: &Arc<Shared>,
    run: impl FnOnce(&Shared) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let is_ignored = ignored.is_some();
    if let Some(reason) = ignored.filter(|_| !shared.runs_ignored) {
        return Trial::ignorable_test(name, || Ok(Completion::ignored_with(reason)));
    }
    let shared = Arc::clone(shared);
    Trial::ignorable_test(name, move || {
        if shared.fail_fast && shared.has_failed.load(Ordering::Relaxed) {
            return Ok(Completion::ignored_with("an earlier case failed, and --fail-fast is given"));
        }
        let outcome = run(&shared);
        shared.has_failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
        outcome.map(|()| Completion::Completed)
    })
    .with_ignored_flag(is_ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_cases_run_first_and_equal_ones_by_name() {
        let lengths =
            [Some(2), None, Some(9), Some(2), Some(0)].map(|length| length.map(Duration::from_secs));
        assert_eq!(longest_first(&lengths), [2, 0, 3, 4, 1]);
        assert_eq!(longest_first(&[None, None]), [0, 1]);
    }

    #[test]
    fn a_program_without_scenarios_is_told_to_have_some() {
        let told = |libraries, nothing| {
            let problems = dropped(&Program { main_crate: "suite", libraries }, nothing);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(&[], false), [""; 0]);
        assert!(
            told(&[], true)[0]
                .starts_with("suite: no scenario is registered, so that this program would test nothing")
        );
        let both = told(&["theirs"], true);
        assert_eq!(
            both,
            ["theirs: no scenario of this crate is registered; look whether its modules are declared"]
        );
    }
}
