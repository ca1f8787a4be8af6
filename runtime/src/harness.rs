//! From registered scenarios to ordinary cargo tests.
//!
//! [`main`] is what `main!` calls: parse the arguments, collect and check the cases, hand them to
//! libtest-mimic. `attempt` is what each of them does: wait for room, deploy, run the body, judge,
//! tear down.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libtest_mimic::{Completion, Failed, Trial};

use crate::case::{Case, CaseDef};
use crate::deployer::Backend;
use crate::env;
use crate::failure::Problem;
use crate::node::NodeProgram;
use crate::scenario::install_program;

mod args;
mod attempt;
mod body;
mod interrupt;
mod logs;
mod plain;
mod progress;
mod skip;
use args::Args;
use interrupt::Interrupt;
pub use plain::{PlainResult, PlainTest, run_plain, run_plain_async};
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
pub fn run(
    args: impl Iterator<Item = String>,
    program: Program,
    node: impl NodeProgram,
    backends: &[Backend],
) -> ExitCode {
    install_program(node);
    if let Err(problems) = env::check() {
        return refuse(problems);
    }
    let args = match args::parse(args, &env::settings().libtest) {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    let (cases, mut problems) = Case::all(program.main_crate, backends);
    let tests = plain::all(program.main_crate);
    problems.extend(dropped(&program, cases.is_empty() && tests.is_empty()));
    if !problems.is_empty() {
        return refuse(&problems);
    }
    if args.list_tags {
        list_tags(&cases);
        return ExitCode::SUCCESS;
    }
    run_cases(args, program.main_crate, &cases, &tests)
}

fn refuse(problems: &[Problem]) -> ExitCode {
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
    interrupt: Interrupt,
    progress: Progress,
    shows_passing: bool,
    fail_fast: bool,
    has_failed: AtomicBool,
}

fn run_cases(
    args: Args,
    main_crate: &str,
    cases: &[(String, Case)],
    tests: &[(String, &'static PlainTest)],
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

    logs::install(args.no_capture);
    let (progress, arguments) = Progress::begin(args.arguments(count), args.no_capture);
    let shared = Arc::new(Shared {
        interrupt: Interrupt::default(),
        progress: progress.clone(),
        shows_passing: arguments.show_output,
        fail_fast: args.fail_fast,
        has_failed: AtomicBool::new(false),
    });
    let skips =
        Skips::find(cases.iter().zip(&chosen).filter(|(_, chosen)| **chosen).map(|((_, case), _)| case));
    let mut trials: Vec<Trial> = Vec::with_capacity(chosen.len());
    for ((name, case), chosen) in cases.iter().zip(&chosen) {
        trials.push(if *chosen { case_trial(name, case, &skips, &arguments, &shared) } else { left_out() });
    }
    for ((name, test), chosen) in tests.iter().zip(&chosen[cases.len()..]) {
        trials.push(if *chosen { plain::trial(name, test) } else { left_out() });
    }
    args.shuffle(&mut trials);
    if !arguments.list {
        shared.interrupt.listen();
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    progress.end();
    conclusion.exit_code()
}

/// A trial that [`Args::arguments`] has libtest-mimic filter out and count as such.
fn left_out() -> Trial {
    Trial::test(args::LEFT_OUT, || Ok(()))
}

fn case_trial(
    name: &str,
    case: &Case,
    skips: &Skips,
    arguments: &libtest_mimic::Arguments,
    shared: &Arc<Shared>,
) -> Trial {
    let reason = skips.reason(case);
    if let Some(reason) = reason.as_ref().filter(|_| arguments.list && arguments.ignored) {
        eprintln!("note: {name} is ignored: {reason}");
    }
    // Whoever asks for what is ignored gets it, with the failure that comes of it.
    let asked_for = arguments.ignored || arguments.include_ignored;
    if let Some(reason) = reason.filter(|_| !asked_for && !arguments.list) {
        return Trial::ignorable_test(name, || Ok(Completion::ignored_with(reason)));
    }
    let ignored = skips.reason(case).is_some();
    let (owned, case, shared) = (name.to_owned(), case.clone(), Arc::clone(shared));
    Trial::ignorable_test(name, move || {
        if shared.fail_fast && shared.has_failed.load(Ordering::Relaxed) {
            return Ok(Completion::ignored_with("an earlier case failed, and --fail-fast is given"));
        }
        let outcome: Result<(), Failed> = attempt::run(&owned, &case, &shared);
        shared.has_failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
        outcome.map(|()| Completion::Completed)
    })
    .with_ignored_flag(ignored)
}
