//! What a program of scenarios refuses before anything runs: this one runs itself as a program that has all of that.

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use logos_scenario_runtime::Backend;
use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram};
use logos_scenario_runtime::harness::{self, Program};
use logos_scenario_runtime::prelude::*;

/// The first argument of the inner program.
const INNER: &str = "inner";

/// Functions of one name in one module, as a compiler lets only blocks have them.
mod twins {
    use super::*;

    const _: () = {
        #[scenario(crate = logos_scenario_runtime, backend = ["local", "k8s"])]
        async fn same() {}
    };
    const _: () = {
        #[scenario(crate = logos_scenario_runtime)]
        async fn same() {}
    };
}

mod plain {
    const _: () = {
        #[logos_scenario_runtime::test(crate = logos_scenario_runtime)]
        fn same() {}
    };
    const _: () = {
        #[logos_scenario_runtime::test(crate = logos_scenario_runtime)]
        fn same() {}
    };
}

fn main() -> ExitCode {
    let mut args = std::env::args();
    let program = args.next().into_iter();
    if args.next().as_deref() == Some(INNER) {
        let this = Program { main_crate: module_path!(), libraries: &[] };
        let local = Backend::new(FakeDeployer::default().named("local"));
        return harness::run(program.chain(args), this, FakeProgram, &[local]);
    }
    let check = Trial::test("everything_that_is_wrong_is_told_with_its_places", everything_is_told);
    libtest_mimic::run(&Arguments::from_args(), vec![check]).exit_code()
}

#[expect(clippy::disallowed_methods, reason = "this program runs itself")]
fn everything_is_told() -> Result<(), Failed> {
    let places = |name: &str| {
        let lines = include_str!("refused.rs").lines().enumerate();
        let lines = lines.filter(|(_, line)| line.ends_with(&format!("fn {name}() {{}}")));
        let places = lines.map(|(index, line)| {
            let column = line.find(name).unwrap_or_default() + 1;
            format!("runtime/tests/refused.rs:{}:{column}", index + 1)
        });
        places.collect::<Vec<_>>()
    };
    let places = places("same");
    let [one, other, plain, test] = &places[..] else { return Err(format!("{places:?}").into()) };
    for arguments in [&["--list"][..], &[], &["--exact", "no_such_case"]] {
        let output = Command::new(std::env::current_exe()?).arg(INNER).args(arguments).output()?;
        let [printed, said] =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        let expected = format!(
            "error: same ({one}): this build has no backend `k8s`, only local; \
             add the feature `k8s` to the dependency on `logos-scenario`\n\
             error: local::twins::same: two functions have this name: {one} and {other}; rename one of them\n\
             error: plain::same: two functions have this name: {plain} and {test}; rename one of them\n"
        );
        if (output.status.code(), &printed, &said) != (Some(101), &String::new(), &expected) {
            return Err(format!("{:?} {printed}{said}\nexpected: {expected}", output.status).into());
        }
    }
    Ok(())
}
