//! What the attribute emits compiles in a crate that denies warnings, whatever it names and shadows, and
//! registers what is written.

#![deny(warnings)]

extern crate logos_scenario_runtime as logos_scenario;

use std::time::Duration;

use logos_scenario::case::{CaseArgs, CaseBackend, CaseDef, Sharing, Wallets};
use logos_scenario::fake::FakeDeployer;
use logos_scenario::harness::PlainTest;
use logos_scenario::prelude::*;
use logos_scenario::topology::TopologyBuilder;
use logos_scenario::{Layout, Until, Window};

#[scenario]
async fn silent() {}

#[scenario(
    validators = [1, 3],
    executors = 2,
    backend = ["local", slow::deployer, "k8s"],
    duration = "1m30s",
    layout = "full",
    slot = "500ms",
    active_slot_coeff = 0.5,
    security_param = 5,
    topology = slow::nodes,
    wallets(users = 50, funds = 5_000),
    cluster = "fresh",
    node_control,
    faults,
    until = "satisfied",
    seed = 0xff,
    timeout = "5m",
    should_fail = "lost",
    tags = ["smoke", "slow"],
)]
#[ignore = "takes long"]
async fn says_all(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

mod slow {
    use super::{FakeDeployer, TopologyBuilder};

    pub(crate) fn deployer() -> FakeDeployer {
        FakeDeployer::default().named("slow")
    }

    pub(crate) fn nodes(builder: TopologyBuilder) -> TopologyBuilder {
        builder
    }
}

/// Names that the expansion itself uses, and functions that are called so.
#[expect(dead_code, reason = "they are here to be in the way")]
mod taken {
    use super::{Run, scenario};

    mod core {}
    mod std {}
    mod inventory {}
    struct Option;
    struct Some;
    struct Duration;
    struct CaseDef;

    #[scenario(seed = 1, timeout = "5m", slot = "1s")]
    async fn run(_: &mut Run) {}

    #[scenario(seed = 1)]
    async fn call() {}

    #[scenario(seed = 1)]
    pub(super) async fn scenario(_: &mut Run) {}
}

mod conditions {
    use super::{Run, scenario};

    #[scenario]
    #[cfg(any())]
    async fn left_out(_: NoSuchType) {}

    #[scenario]
    #[cfg_attr(all(), ignore = "by a condition")]
    async fn ignored_by_a_condition(_: &mut Run) {}

    #[scenario]
    #[ignore]
    async fn ignored(_: &mut Run) {}
}

/// Whatever `macro_rules!` puts around a value, it is the value.
macro_rules! scenarios {
    ($path:path: $($name:ident $literal:literal $expr:expr, $token:tt $text:literal;)*) => {$(
        #[scenario(
            validators = $literal,
            executors = [$expr, 7],
            seed = $token,
            duration = $text,
            should_fail = $text,
            active_slot_coeff = $expr,
            crate = $path
        )]
        async fn $name(_: &mut Run) {}
    )*};
}
scenarios!(crate::reexport: one 3 1, 8 "90s"; other 4 1, 9 "30 blocks";);

/// The framework under another name.
pub mod reexport {
    pub use logos_scenario::__private;
}

mod signatures {
    use super::{Run, scenario};

    #[scenario]
    async fn with_a_result(_: &mut Run) -> Result<(), String> {
        Ok(())
    }

    #[scenario]
    async fn with_an_exit_code(run: &mut Run) -> ::std::process::ExitCode {
        let _ = run;
        ::std::process::ExitCode::SUCCESS
    }

    #[scenario]
    async fn not_send(_run: &mut Run) {
        let counted = ::std::rc::Rc::new(1);
        ::std::future::ready(()).await;
        drop(counted);
    }

    /// Is documented, and called from elsewhere.
    #[scenario(wallets = 7, backend = FakeDeployer::default)]
    pub(super) async fn r#type(_run: &mut Run) {}

    use super::FakeDeployer;
}

mod plain {
    use std::result::Result;

    #[logos_scenario::test]
    #[cfg(any())]
    fn left_out() -> NoSuchType {}

    #[logos_scenario::test(crate = crate::reexport)]
    #[cfg_attr(all(), ignore = "by a condition")]
    pub(super) async fn r#async() -> Result<(), String> {
        Ok(())
    }

    #[logos_scenario::test]
    #[ignore]
    fn text() {}
}

/// A scenario is still a function: others may call it.
pub async fn calls_a_scenario(run: &mut Run) {
    signatures::r#type(run).await;
}

fn registered(function: &str) -> &'static CaseDef {
    let mut cases = inventory::iter::<CaseDef>().filter(|case| case.function == function);
    let case = cases.next().unwrap_or_else(|| panic!("`{function}` is not registered"));
    assert!(cases.next().is_none(), "`{function}` is registered twice");
    case
}

#[test]
fn all_that_a_condition_leaves_are_registered() {
    let mut names: Vec<_> = inventory::iter::<CaseDef>().map(|case| case.function).collect();
    names.sort_unstable();
    let expected = [
        "call",
        "ignored",
        "ignored_by_a_condition",
        "not_send",
        "one",
        "other",
        "run",
        "says_all",
        "scenario",
        "silent",
        "type",
        "with_a_result",
        "with_an_exit_code",
    ];
    assert_eq!(names, expected);
}

#[test]
fn plain_tests_are_registered_as_scenarios_are() {
    let mut tests: Vec<_> = inventory::iter::<PlainTest>()
        .map(|test| (test.function, test.module, test.ignore, (test.body)()))
        .collect();
    tests.sort();
    let module = concat!(module_path!(), "::plain");
    assert_eq!(
        tests,
        [("async", module, Some("by a condition"), Ok(())), ("text", module, Some(""), Ok(()))]
    );
    let line = include_str!("attribute.rs").lines().position(|line| line == "    fn text() {}");
    let text = inventory::iter::<PlainTest>().find(|test| test.function == "text").expect("it is registered");
    assert_eq!((Some(text.line as usize), text.column), (line.map(|line| line + 1), 8));
    // It is still a function.
    let _: fn() -> _ = plain::r#async;
}

#[test]
fn silence_means_the_defaults() {
    let case = registered("silent");
    assert_eq!(format!("{:?}", case.args), format!("{:?}", CaseArgs::DEFAULT));
    assert_eq!(case.ignore, None);
}

/// What a backend of the attribute is called.
fn name(backend: &CaseBackend) -> String {
    match backend {
        CaseBackend::Named(name) => (*name).to_owned(),
        CaseBackend::Own(make) => make().name().to_owned(),
    }
}

#[test]
fn what_is_written_is_registered() {
    let case = registered("says_all");
    let args = &case.args;
    assert_eq!((args.validators, args.executors, args.matrix), (&[1, 3][..], &[2][..], true));
    assert_eq!(args.backends.iter().map(name).collect::<Vec<_>>(), ["local", "slow", "k8s"]);
    assert_eq!((args.window, args.slot), (Window::Time(Duration::from_secs(90)), Duration::from_millis(500)));
    assert_eq!((args.layout, args.active_slot_coeff, args.security_param), (Layout::Full, 0.5, 5));
    assert_eq!(args.wallets, Some(Wallets { users: 50, funds: Some(5000) }));
    assert!(args.topology.is_some() && args.node_control && args.faults);
    assert_eq!((args.sharing, args.until), (Some(Sharing::Fresh), Until::Satisfied));
    assert_eq!((args.seed, args.timeout), (Some(255), Some(Duration::from_secs(300))));
    assert_eq!((args.should_fail, args.tags), (Some("lost"), &["smoke", "slow"][..]));
    assert_eq!(case.ignore, Some("takes long"));
}

#[test]
fn a_backend_may_be_made_by_any_path() {
    let case = registered("type");
    assert_eq!(case.args.backends.iter().map(name).collect::<Vec<_>>(), ["fake"]);
    assert_eq!(case.args.wallets, Some(Wallets { users: 7, funds: None }));
}

#[test]
fn clusters_are_shared_by_need() {
    let shared = CaseArgs::DEFAULT;
    assert_eq!(shared.sharing(), Sharing::Shared);
    assert_eq!(CaseArgs { node_control: true, ..shared }.sharing(), Sharing::Exclusive);
    assert_eq!(CaseArgs { faults: true, ..shared }.sharing(), Sharing::Exclusive);
    assert_eq!(CaseArgs { faults: true, should_fail: Some("lost"), ..shared }.sharing(), Sharing::Fresh);
    assert_eq!(CaseArgs { sharing: Some(Sharing::Exclusive), ..shared }.sharing(), Sharing::Exclusive);
}

#[test]
fn values_come_through_macro_rules() {
    let case = registered("other");
    assert_eq!((case.args.validators, case.args.executors), (&[4][..], &[1, 7][..]));
    assert_eq!((&case.args.window, case.args.should_fail), (&Window::Blocks(30), Some("30 blocks")));
    assert_eq!((case.args.seed, case.args.active_slot_coeff), (Some(9), 1.0));
}

#[test]
fn conditions_hold_for_ignore() {
    assert_eq!(registered("ignored_by_a_condition").ignore, Some("by a condition"));
    assert_eq!(registered("ignored").ignore, Some(""));
}

#[test]
fn the_place_is_that_of_the_name() {
    let case = registered("silent");
    let line = include_str!("attribute.rs").lines().position(|line| line == "async fn silent() {}");
    assert_eq!((Some(case.line as usize), case.column), (line.map(|line| line + 1), 10));
    assert_eq!((case.package, case.module), (env!("CARGO_PKG_NAME"), module_path!()));
    assert!(case.file.ends_with("tests/attribute.rs"), "{}", case.file);
}
