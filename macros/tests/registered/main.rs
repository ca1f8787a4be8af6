//! What the attribute emits, compiled as in an outside crate that denies every warning, and what it registers.

#![deny(warnings)]

extern crate self as logos_scenario;

#[expect(missing_docs, reason = "its names are those of the framework")]
mod framework;

use std::time::Duration;

use framework::__private::{CaseArgs, CaseDef, Layout, Window, inventory};
pub use framework::{__private, Result, Run, TopologyBuilder};
use logos_scenario_macros::scenario;

#[scenario]
async fn silent() {}

#[scenario(
    validators = [1, 3],
    executors = 2,
    backend = ["local", "k8s"],
    duration = "1m30s",
    layout = "full",
    slot = "500ms",
    active_slot_coeff = 0.5,
    security_param = 5,
    topology = slow::nodes,
    seed = 0xff,
    timeout = "5m",
    should_fail = "lost",
    tags = ["smoke", "slow"],
)]
#[ignore = "takes long"]
async fn says_all(run: &mut Run) -> Result {
    run.expect_consensus_liveness().drive().await
}

mod slow {
    use super::TopologyBuilder;

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
scenarios!(crate::framework: one 3 1, 8 "90s"; other 4 1, 9 "30 blocks";);

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
        "one",
        "other",
        "run",
        "says_all",
        "scenario",
        "silent",
    ];
    assert_eq!(names, expected);
}

#[test]
fn silence_means_the_defaults() {
    let case = registered("silent");
    assert_eq!(format!("{:?}", case.args), format!("{:?}", CaseArgs::DEFAULT));
    assert_eq!(case.ignore, None);
}

#[test]
fn what_is_written_is_registered() {
    let case = registered("says_all");
    let CaseArgs {
        validators,
        executors,
        matrix,
        backends,
        window,
        layout,
        slot,
        active_slot_coeff,
        security_param,
        topology,
        seed,
        timeout,
        should_fail,
        tags,
    } = &case.args;
    assert_eq!((*validators, *executors, *matrix), (&[1, 3][..], &[2][..], true));
    assert_eq!(*backends, ["local", "k8s"]);
    assert_eq!((window, slot), (&Window::Time(Duration::from_secs(90)), &Duration::from_millis(500)));
    assert_eq!((layout, *active_slot_coeff, *security_param), (&Layout::Full, 0.5, 5));
    assert!(topology.is_some());
    assert_eq!((*seed, *timeout), (Some(255), Some(Duration::from_secs(300))));
    assert_eq!((*should_fail, *tags), (Some("lost"), &["smoke", "slow"][..]));
    assert_eq!(case.ignore, Some("takes long"));
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
    let line = include_str!("main.rs").lines().position(|line| line == "async fn silent() {}");
    assert_eq!((Some(case.line as usize), case.column), (line.map(|line| line + 1), 10));
    assert_eq!((case.package, case.module), (env!("CARGO_PKG_NAME"), module_path!()));
    assert!(case.file.ends_with("registered/main.rs"), "{}", case.file);
}

#[test]
fn a_scenario_stays_a_function() {
    let mut run = Run;
    let mut body = (registered("says_all").body)(&mut run);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(body.as_mut().poll(&mut context).is_ready());
    drop(body);
    drop(says_all(&mut run));
}
