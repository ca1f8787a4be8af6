//! Each numbered promise of `Deployer` and `Cluster`, on every backend: trials are named
//! `<backend>::<trait>_<number>::<what>`.
//!
//! A backend that cannot be used here is ignored with its reason, unless `SCENARIO_REQUIRE` names it.

mod cluster;
mod deployer;
mod network;
mod subject;

use std::process::ExitCode;

use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Trial};
use logos_scenario::Deployer as _;
use logos_scenario_tests::trials::{Needed, block_on};
use subject::{Subject, subjects};

/// What a promise's test says.
type Outcome = anyhow::Result<()>;
type Test = fn(Subject) -> BoxFuture<'static, Outcome>;

/// The tests of one trait's promises, by their numbers.
macro_rules! promises {
    ($subject:ident: $($number:literal $test:ident),+ $(,)?) => {
        [$((
            concat!(stringify!($subject), "_", $number, "::", stringify!($test)),
            (|subject| Box::pin($subject::$test(subject))) as Test,
        )),+]
    };
}

fn promises() -> impl Iterator<Item = (&'static str, Test)> {
    let deployer = promises![deployer:
        1 availability_is_told_soon,
        2 every_node_is_started,
        2 a_late_node_is_started_on_demand,
        3 a_refused_plan_leaves_nothing,
        3 a_provision_that_is_given_up_leaves_nothing,
        4 sixteen_clusters_of_one_plan_do_not_notice_each_other,
        5 nothing_outlives_a_killed_owner,
        6 sweeping_spares_the_living,
        7 capabilities_are_true,
        8 the_identity_is_that_of_what_runs,
    ];
    let cluster = promises![cluster:
        1 the_description_follows_the_plan,
        2 an_exit_is_told_with_its_cause,
        2 changes_are_told_when_they_happen,
        3 actions_are_done_when_they_return,
        3 an_isolated_node_answers_and_has_no_peers,
        4 data_survives,
        5 what_cannot_be_done_changes_nothing,
        6 logs_are_read_on_whether_a_node_lives_or_not,
        7 teardown_leaves_nothing_that_can_be_started,
        8 a_dropped_cluster_ends,
        9 everything_survives_json,
        10 what_a_node_uses_is_told_while_it_runs,
        12 a_replanned_node_is_so_from_its_next_start_on,
        12 what_cannot_be_replanned_changes_nothing,
    ];
    let network = promises![network:
        11 an_isolated_node_is_alone_until_it_heals,
        11 sides_of_a_partition_go_on_alone_and_agree_afterwards,
        11 a_slow_link_lets_nodes_be_apart,
        11 a_link_that_loses_all_carries_no_peer,
        11 a_narrow_link_is_no_faster_than_its_rate,
        11 a_restarted_node_finds_no_way_around_a_cut,
        11 links_of_a_plan_without_faults_are_not_disturbed,
    ];
    deployer.into_iter().chain(cluster).chain(network)
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(deployer::OWNER) {
        return deployer::own(&args.next().unwrap_or_default());
    }
    if let Err(problems) = logos_scenario::env::check() {
        problems.iter().for_each(|problem| eprintln!("error: {problem}"));
        return ExitCode::from(101);
    }
    let mut arguments = Arguments::from_args();
    // They wait more than they compute.
    arguments.test_threads.get_or_insert(6);
    let trials = subjects().into_iter().flat_map(|subject| trials(&subject, &arguments)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials(subject: &Subject, arguments: &Arguments) -> Vec<Trial> {
    let name = subject.backend.name();
    let missing = block_on(subject.backend.available()).err().map(|unavailable| unavailable.to_string());
    let needed = Needed::new(name, missing, arguments);
    let trial = |(promise, test): (&str, Test)| {
        let subject = subject.clone();
        needed.trial(format!("{name}::{promise}"), move || test(subject))
    };
    promises().map(trial).collect()
}
