//! Which cases there are, and which are chosen.

use libtest_mimic::Failed;

use super::{Check, WITHOUT_LIBRARY, command, demand, has, inner, same, stdout, text};

pub(crate) const CHECKS: &[Check] = &[
    ("a_list_is_sorted_and_complete", a_list_is_sorted_and_complete),
    ("ignored_cases_are_listed_apart_with_their_reasons", ignored_cases_are_listed_apart),
    ("several_filters_choose_what_any_of_them_does", several_filters),
    ("exact_takes_full_and_base_names", exact_takes_full_and_base_names),
    ("nothing_chosen_is_no_failure", nothing_chosen_is_no_failure),
    ("tags_choose", tags_choose),
    ("tags_are_listed", tags_are_listed),
    ("codes_of_failures_are_explained", codes_are_explained),
    ("sweeping_tells_of_every_backend", sweeping_tells_of_every_backend),
    ("a_library_whose_scenarios_are_missing_is_told", a_missing_library_is_told),
    ("a_bad_setting_is_told_before_anything_runs", a_bad_setting_is_told),
    ("bad_arguments_are_refused_as_by_libtest", bad_arguments_are_refused),
];

const IGNORED: &str = "\
k8s::scenarios::chains::are_elsewhere: test
local::scenarios::chains::are_disturbed: test
local::scenarios::chains::are_ignored: test
own::scenarios::chains::own_ones_halt: test
scenarios::plain::ignored: test
";

fn a_list_is_sorted_and_complete() -> Result<(), Failed> {
    let expected = "\
compose::scenarios::bodies::hand_on_as_text: test
compose::scenarios::bodies::hand_on_in_a_box: test
compose::scenarios::bodies::hand_on_with_context: test
compose::scenarios::bodies::swallow: test
compose::scenarios::chains::stand_still: test
k8s::scenarios::chains::are_elsewhere: test
local::scenarios::accounts::do_not_suffice: test
local::scenarios::accounts::drawn_by_one: test
local::scenarios::accounts::drawn_by_two: test
local::scenarios::accounts::drawn_in_vain: test
local::scenarios::bodies::block_their_thread: test
local::scenarios::bodies::cannot_control_what_they_do_not_declare: test
local::scenarios::bodies::control_what_they_declare: test
local::scenarios::bodies::fail_as_they_should: test
local::scenarios::bodies::fail_otherwise: test
local::scenarios::bodies::leave_a_panic_behind: test
local::scenarios::bodies::log_and_fail: test
local::scenarios::bodies::log_and_pass: test
local::scenarios::bodies::panic: test
local::scenarios::bodies::pass_though_they_should_fail: test
local::scenarios::bodies::pass_when_tried_again: test
local::scenarios::bodies::prove_nothing: test
local::scenarios::bodies::return_a_code: test
local::scenarios::bodies::take_too_long: test
local::scenarios::bodies::tell_secrets: test
local::scenarios::bounds::ask_a_node: test
local::scenarios::bounds::change: test
local::scenarios::chains::are_disturbed: test
local::scenarios::chains::are_ignored: test
local::scenarios::chains::end_when_satisfied: test
local::scenarios::chains::grow: test
local::scenarios::chains::grow_in_sizes::v2e0: test
local::scenarios::chains::grow_in_sizes::v3e0: test
local::scenarios::endless::window: test
local::scenarios::leases::begin_anew_first: test
local::scenarios::leases::begin_anew_second: test
local::scenarios::leases::begin_anew_third: test
own::scenarios::chains::bear_chaos: test
own::scenarios::chains::own_ones_grow: test
own::scenarios::chains::own_ones_halt: test
stubborn::scenarios::endless::teardown: test
scenarios::plain::awaits: test
scenarios::plain::counts: test
scenarios::plain::fails: test
scenarios::plain::ignored: test
scenarios::plain::panics: test
";
    let count = expected.lines().count();
    let trailer = format!("{expected}\n{count} tests, 0 benchmarks\n");
    for (format, expected) in
        [(&["--list"][..], trailer.as_str()), (&["--list", "--format", "terse"], expected)]
    {
        let output = inner(format, &[]);
        same(text(&output.stderr), String::new())?;
        same(text(&output.stdout), expected.to_owned())?;
    }
    let output = inner(&["--list", "--format=json", "-Zunstable-options"], &[]);
    same(text(&output.stderr), String::new())?;
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let names = lines.iter().filter_map(|line| Some(format!("{}: test\n", line["name"].as_str()?)));
    same(names.collect::<String>(), expected.to_owned())?;
    let ignored =
        &lines.iter().find(|line| line["name"] == "scenarios::plain::ignored").ok_or("it is listed")?;
    same(ignored["ignore_message"].as_str(), Some("for the list"))?;
    same(ignored["source_path"].as_str(), Some("runtime/tests/harness/scenarios.rs"))
}

fn ignored_cases_are_listed_apart() -> Result<(), Failed> {
    let output = inner(&["--list", "--format", "terse", "--ignored"], &[]);
    same(text(&output.stdout), IGNORED.to_owned())?;
    has(
        &text(&output.stderr),
        &[
            "note: k8s::scenarios::chains::are_elsewhere is ignored: there is no cluster; start one\n",
            "note: local::scenarios::chains::are_disturbed is ignored: backend `local` is not capable of network_faults\n",
            "note: local::scenarios::chains::are_ignored is ignored: for the list\n",
            "note: scenarios::plain::ignored is ignored: for the list\n",
        ],
    )?;
    let required = inner(&["--list", "-q", "--ignored", "are_elsewhere"], &[("SCENARIO_REQUIRE", "k8s")]);
    same(text(&required.stdout), String::new())
}

fn several_filters() -> Result<(), Failed> {
    same(
        stdout(&["--list", "-q", "stand_still", "v3e0", "prove", "--skip", "bodies"]),
        "compose::scenarios::chains::stand_still: test\nlocal::scenarios::chains::grow_in_sizes::v3e0: test\n"
            .to_owned(),
    )
}

fn exact_takes_full_and_base_names() -> Result<(), Failed> {
    let list = |name| stdout(&["--list", "-q", "--exact", name]);
    same(list("local::scenarios::chains::grow"), "local::scenarios::chains::grow: test\n".to_owned())?;
    same(
        list("scenarios::chains::grow_in_sizes"),
        "local::scenarios::chains::grow_in_sizes::v2e0: test\nlocal::scenarios::chains::grow_in_sizes::v3e0: test\n"
            .to_owned(),
    )
}

fn nothing_chosen_is_no_failure() -> Result<(), Failed> {
    demand(&["no_such_case"], 0, &["0 passed; 0 failed; 0 ignored", "46 filtered out"])
}

fn tags_choose() -> Result<(), Failed> {
    let list = |tags| text(&inner(&["--list", "-q", "chains"], &[("SCENARIO_TAGS", tags)]).stdout);
    same(list("smoke,!quick"), "local::scenarios::chains::grow_in_sizes::v2e0: test\nlocal::scenarios::chains::grow_in_sizes::v3e0: test\n".to_owned())?;
    same(list("quick"), "local::scenarios::chains::grow: test\n".to_owned())?;
    same(list("no_such_tag"), String::new())
}

fn tags_are_listed() -> Result<(), Failed> {
    same(stdout(&["--list-tags"]), "quick: 1 cases\nsmoke: 3 cases\n".to_owned())
}

fn codes_are_explained() -> Result<(), Failed> {
    demand(&["--explain", "p02"], 0, &["P02: ConsensusLiveness", "a `message_delay` that", "- Remedy: "])?;
    let output = inner(&["--explain", "P99"], &[]);
    same(output.status.code(), Some(101))?;
    has(&text(&output.stderr), &["no failure has the code `P99`; there are P00, P01", "I09"])
}

fn sweeping_tells_of_every_backend() -> Result<(), Failed> {
    let told = "local: nothing to remove\ncompose: nothing to remove\nk8s: not swept: there is no cluster; start one\n";
    same(stdout(&["--sweep"]), told.to_owned())
}

fn a_missing_library_is_told() -> Result<(), Failed> {
    let output = command(&[WITHOUT_LIBRARY, "--list"], &[]).output().expect("this program can be run");
    same(output.status.code(), Some(101))?;
    same(
        text(&output.stderr),
        "error: their_scenarios: no scenario of this crate is registered; look whether its modules are declared\n"
            .to_owned(),
    )
}

fn a_bad_setting_is_told() -> Result<(), Failed> {
    let output = inner(&[], &[("SCENARIO_MAX_NODES", "many"), ("SLOW_TEST_ENV", "perhaps")]);
    same(output.status.code(), Some(101))?;
    same(
        text(&output.stderr),
        "error: SCENARIO_MAX_NODES: `many`, expected a number of nodes, at least 1; try 20\n\
         error: SLOW_TEST_ENV: `perhaps`, expected 1/true/yes/on or 0/false/no/off; try true\n"
            .to_owned(),
    )
}

fn bad_arguments_are_refused() -> Result<(), Failed> {
    for (args, why) in [
        (&["--test-threads", "0"][..], "error: argument for --test-threads must not be 0\n"),
        (
            &["--ignored", "--include-ignored"],
            "error: the options --include-ignored and --ignored are mutually exclusive\n",
        ),
    ] {
        let output = inner(args, &[]);
        same(output.status.code(), Some(101))?;
        same(text(&output.stderr), why.to_owned())?;
    }
    for arg in ["--no-capture=1", "--fail-fast=1", "--no-such-option"] {
        let output = inner(&[arg, "--list"], &[]);
        same((output.status.code(), text(&output.stdout)), (Some(101), String::new()))?;
        has(&text(&output.stderr), &["error: "])?;
    }
    let help = inner(&["--help"], &[]);
    same((help.status.code(), text(&help.stderr)), (Some(0), String::new()))?;
    has(&text(&help.stdout), &["--list-tags", "--test-threads"])
}
