//! What is the compose backend's own: the engine has nothing left of a cluster, Compose's tools know its files,
//! and a node that is cut off can still be looked at.
//!
//! Where there is no engine these are ignored with the reason, unless `SCENARIO_REQUIRE` names `compose`.

mod by_hand;
mod cfgsync;
mod engine;
mod images;
mod inner;
mod networks;
mod relay;

use std::process::ExitCode;
use std::time::Duration;

use futures::future::BoxFuture;
use libtest_mimic::Arguments;
use logos_scenario::deployer::Placement;
use logos_scenario::topology::TopologyBuilder;
use logos_scenario::{
    ChainAgreement, ComposeDeployer, Deployer, RunFailed, Runner, Scenario, ScenarioBuilder,
    ScenarioBuilderExt, Topology,
};
use logos_scenario_devnode::Devnode;
use logos_scenario_tests::trials::{Needed, block_on};
use tempfile::TempDir;

/// What a test says.
type Outcome = anyhow::Result<()>;
type Test = fn() -> BoxFuture<'static, Outcome>;

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);

/// Tests by their names, in their modules.
macro_rules! tests {
    ($($module:ident::$test:ident),+ $(,)?) => {
        [$((
            concat!("compose::", stringify!($module), "::", stringify!($test)),
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
        by_hand::the_compose_tool_starts_the_same_cluster,
        cfgsync::nodes_fetch_their_configuration_at_every_start,
        engine::nodes_may_do_no_more_than_they_need,
        engine::nodes_write_to_their_directory_and_to_tmp_alone,
        engine::nothing_is_left_of_a_failed_deployment,
        engine::an_owner_says_that_it_lives,
        engine::a_node_that_is_stopped_ends_by_itself,
        engine::what_a_dead_owner_left_is_swept,
        engine::what_cannot_be_removed_holds_up_no_cluster,
        images::a_missing_image_is_told_with_what_builds_it,
        images::a_missing_image_of_the_relay_is_told_with_what_builds_it,
        images::a_program_of_this_machine_is_told,
        images::a_program_that_the_image_lacks_is_told,
        images::a_node_that_ends_is_told_with_its_log,
        images::a_node_goes_on_with_another_image,
        images::the_script_packs_programs_on_a_base,
        inner::nothing_is_left_of_a_pass,
        inner::nothing_is_left_of_a_failure,
        inner::nothing_is_left_after_ctrl_c,
        inner::nothing_is_left_after_sigterm,
        inner::nothing_is_left_after_sigkill,
        inner::nothing_is_left_when_the_keeper_is_killed_in_a_fault,
        inner::logs_are_kept_where_a_setting_says,
        inner::a_remote_engine_is_refused,
        inner::an_engine_that_does_not_answer_is_told,
        inner::a_node_that_is_out_of_memory_is_told,
        networks::an_isolated_node_answers_and_hears_nothing,
        networks::published_ports_follow_a_restart,
        networks::forty_clusters_have_networks_of_their_own,
        networks::processes_share_a_pool_to_its_end,
        relay::its_end_is_told_and_heals_nothing,
    ];
    let mut arguments = Arguments::from_args();
    // They wait more than they compute.
    arguments.test_threads.get_or_insert(6);
    let missing = block_on(ComposeDeployer::default().available()).err().map(|error| error.to_string());
    let needed = Needed::new("compose", missing, &arguments);
    let with_tool = needed.besides(by_hand::missing());
    let trial = |(name, test): (&str, Test)| match name.starts_with("compose::by_hand::") {
        true => with_tool.trial(name, test),
        false => needed.trial(name, test),
    };
    libtest_mimic::run(&arguments, tests.into_iter().map(trial).collect()).exit_code()
}

/// A scenario on a topology, which gets short slots.
fn scenario(topology: TopologyBuilder) -> anyhow::Result<Scenario> {
    Ok(ScenarioBuilder::with_topology(topology.slot(Duration::from_millis(300)))
        .with_program(Devnode::default())
        .with_expectation(ChainAgreement::default())
        .with_run_duration(Duration::from_secs(8))
        .build()?)
}

/// So many validators.
fn validators(count: usize) -> TopologyBuilder {
    Topology::with_node_counts(count, 0)
}

/// A cluster that is ready.
async fn deploy(topology: TopologyBuilder) -> anyhow::Result<Runner> {
    Ok(ComposeDeployer::default().deploy(&scenario(topology)?).await?)
}

/// A cluster that does not become ready, and why.
async fn refused(topology: TopologyBuilder) -> anyhow::Result<RunFailed> {
    match ComposeDeployer::default().deploy(&scenario(topology)?).await {
        Ok(_) => anyhow::bail!("the cluster became ready"),
        Err(failed) => Ok(failed),
    }
}

/// A place for a cluster, with a label that only this place has.
fn placement() -> anyhow::Result<(TempDir, Placement, String)> {
    let directory = tempfile::tempdir()?;
    let invocation = directory.path().display().to_string().replace('/', "-");
    let labels = [("invocation".to_owned(), invocation.clone())].into();
    let place = Placement { directory: directory.path().to_owned(), labels };
    Ok((directory, place, format!("logos-scenario.invocation={invocation}")))
}
