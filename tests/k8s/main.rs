//! What is the k8s backend's own: Kubernetes has nothing left of a cluster, what keeps one from coming up is told at
//! once, and nothing is made where it must not be.
//!
//! Where there is no Kubernetes cluster for tests these are ignored with the reason, unless `SCENARIO_REQUIRE` names
//! `k8s`.

mod ends;
mod inner;
mod refusals;
mod relay;
mod storage;
mod sweeping;

use std::process::ExitCode;
use std::time::Duration;

use futures::future::BoxFuture;
use libtest_mimic::Arguments;
use logos_scenario::{Deployer, K8sDeployer};
use logos_scenario_tests::trials::{Needed, block_on};

/// What a test says.
type Outcome = anyhow::Result<()>;
type Test = fn() -> BoxFuture<'static, Outcome>;

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(120);

/// Tests by their names, in their modules.
macro_rules! tests {
    ($($module:ident::$test:ident),+ $(,)?) => {
        [$((
            concat!("k8s::", stringify!($module), "::", stringify!($test)),
            (|| Box::pin($module::$test())) as Test,
        )),+]
    };
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first == inner::INNER || first.starts_with(inner::KEEPER))
    {
        return inner::main(std::env::args().filter(|argument| argument != inner::INNER));
    }
    let tests = tests![
        ends::nothing_is_left_of_a_pass,
        ends::nothing_is_left_of_a_failure,
        ends::logs_are_kept_where_a_setting_says,
        ends::nothing_is_left_after_ctrl_c,
        ends::nothing_is_left_after_sigkill,
        ends::nothing_is_left_when_the_keeper_is_killed_in_a_fault,
        ends::nothing_is_left_when_keeper_and_watcher_are_killed_in_a_fault,
        refusals::a_missing_image_is_told,
        refusals::a_missing_image_of_the_relay_is_told,
        refusals::a_program_that_the_image_lacks_is_told,
        refusals::a_quota_that_is_too_small_is_told,
        refusals::a_node_that_finds_no_machine_is_told,
        refusals::a_machine_that_is_none_is_told,
        refusals::a_storage_class_without_volumes_is_told,
        refusals::missing_permissions_are_told_at_once,
        refusals::a_server_that_does_not_answer_is_told,
        refusals::a_context_that_is_not_for_tests_is_refused,
        relay::its_end_is_told_and_nothing_is_left,
        relay::nodes_and_relay_are_reached_by_node_port,
        storage::data_is_in_volumes_of_a_class,
        sweeping::only_an_expired_lease_is_swept,
    ];
    let mut arguments = Arguments::from_args();
    // They wait more than they compute.
    arguments.test_threads.get_or_insert(5);
    let missing = block_on(K8sDeployer::default().available()).err().map(|error| error.to_string());
    let needed = Needed::new("k8s", missing, &arguments);
    let trial = |(name, test): (&str, Test)| needed.trial(name, test);
    libtest_mimic::run(&arguments, tests.into_iter().map(trial).collect()).exit_code()
}
