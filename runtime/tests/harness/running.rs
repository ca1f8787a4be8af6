//! What becomes of cases that run.

use std::path::Path;

use libtest_mimic::Failed;

use super::{Check, demand, has, has_not, inner, same, text};

pub(crate) const CHECKS: &[Check] = &[
    ("a_failure_says_everything", a_failure_says_everything),
    ("a_panic_fails_its_case_alone", a_panic_fails_its_case_alone),
    ("a_body_that_proves_nothing_fails", a_body_that_proves_nothing_fails),
    ("an_exit_code_that_tells_of_failure_fails", an_exit_code_fails),
    ("a_swallowed_drive_fails_all_the_same", a_swallowed_drive_fails_all_the_same),
    ("a_failed_drive_is_told_once", a_failed_drive_is_told_once),
    ("should_fail_wants_its_text", should_fail_wants_its_text),
    ("a_timeout_ends_a_body_that_awaits", a_timeout_ends_a_body_that_awaits),
    ("a_timeout_ends_a_body_that_blocks", a_timeout_ends_a_body_that_blocks),
    ("a_case_that_cannot_run_is_ignored_with_its_reason", a_case_that_cannot_run_is_ignored),
    ("a_required_backend_that_is_absent_fails", a_required_backend_that_is_absent_fails),
    ("logs_are_shown_of_the_case_that_fails", logs_are_shown_of_the_case_that_fails),
    ("logs_are_not_kept_without_capture", logs_are_not_kept_without_capture),
    ("a_panic_of_a_task_is_told", a_panic_of_a_task_is_told),
    ("nodes_are_controlled_where_that_is_declared", nodes_are_controlled_where_declared),
    ("a_satisfied_run_ends", a_satisfied_run_ends),
    ("a_backend_of_ones_own_runs", a_backend_of_ones_own_runs),
    ("backends_of_one_name_are_told_apart", backends_of_one_name_are_told_apart),
    ("each_phase_is_a_line", each_phase_is_a_line),
    ("endpoints_are_printed_on_demand", endpoints_are_printed_on_demand),
    ("json_is_json", json_is_json),
    ("plain_tests_run_beside_scenarios", plain_tests_run),
    ("a_shuffle_repeats_by_its_seed", a_shuffle_repeats_by_its_seed),
    ("a_fault_plan_is_repeated_from_a_report", a_fault_plan_is_repeated_from_a_report),
    ("fail_fast_ignores_the_rest", fail_fast_ignores_the_rest),
    ("accounts_that_others_drew_fail_no_case", accounts_that_others_drew_fail_no_case),
    ("a_failure_is_tried_alone_unless_that_is_off", a_failure_is_tried_alone),
    ("a_lease_begins_anew_on_a_cluster_that_was_used", a_lease_begins_anew),
    ("clusters_are_counted_at_the_end", clusters_are_counted_at_the_end),
    ("nextest_finds_the_failure_on_stderr", nextest_finds_the_failure_on_stderr),
];

fn a_failure_says_everything() -> Result<(), Failed> {
    demand(
        &["compose::scenarios::chains::stand_still"],
        101,
        &[
            "ConsensusLiveness failed (product)",
            "expected: every node to grow by at least ",
            "validator-0: height 5, tip ",
            "no block for ",
            // Nodes' logs are where their cluster says, which need not be the run's folder.
            "look at: the nodes' logs after the last block, in the fake log of validator-0",
            "try: ",
            "repeat with: SCENARIO_SEED=",
            "cargo test -p logos-scenario-runtime -- --exact compose::scenarios::chains::stand_still",
            "files: ",
        ],
    )
}

fn a_panic_fails_its_case_alone() -> Result<(), Failed> {
    demand(
        &["bodies::panic", "chains::grow"],
        101,
        &[
            "body failed (test)",
            "a panic: the body gave up",
            "look at: runtime/tests/harness/scenarios.rs:",
            "3 passed; 1 failed",
        ],
    )?;
    let output = inner(&["bodies::panic"], &[("RUST_BACKTRACE", "1")]);
    let printed = text(&output.stdout);
    has(&printed, &["scenarios.rs:", "1 failed"])?;
    has_not(&printed, "proves nothing")?;
    has_not(&printed, "rust_begin_unwind")
}

fn a_body_that_proves_nothing_fails() -> Result<(), Failed> {
    demand(&["prove_nothing"], 101, &["such a scenario proves nothing", "run.drive().await"])
}

fn an_exit_code_fails() -> Result<(), Failed> {
    demand(&["return_a_code"], 101, &["body failed (test)", "it returned ExitCode", "(7))"])
}

fn a_swallowed_drive_fails_all_the_same() -> Result<(), Failed> {
    demand(&["swallow"], 101, &["ConsensusLiveness failed (product)"])
}

fn a_failed_drive_is_told_once() -> Result<(), Failed> {
    let output = inner(&["hand_on"], &[]);
    let printed = text(&output.stdout);
    same(printed.matches("ConsensusLiveness failed (product)\n  expected").count(), 3)?;
    has(&printed, &["3 failed"])?;
    has_not(&printed, "body failed")
}

fn should_fail_wants_its_text() -> Result<(), Failed> {
    demand(&["fail_as_they_should"], 0, &["1 passed"])?;
    demand(
        &["fail_otherwise"],
        101,
        &["should fail with `some other text`, but failed otherwise", "gave up", "repeat with"],
    )?;
    demand(&["pass_though_they_should_fail"], 101, &["passed, but should fail with `a text`", "repeat with"])
}

fn a_timeout_ends_a_body_that_awaits() -> Result<(), Failed> {
    demand(&["take_too_long"], 101, &["timeout failed (test)", "at most 300ms"])?;
    has_not(&text(&inner(&["take_too_long"], &[]).stdout), "blocks its thread")
}

fn a_timeout_ends_a_body_that_blocks() -> Result<(), Failed> {
    demand(&["block_their_thread"], 101, &["timeout failed (test)", "because: the body blocks its thread"])
}

fn a_case_that_cannot_run_is_ignored() -> Result<(), Failed> {
    demand(
        &["are_"],
        0,
        &[
            "ignored (there is no cluster; start one)",
            "ignored (backend `local` is not capable of network_faults)",
            "ignored (for the list)",
            "0 passed; 0 failed; 3 ignored",
        ],
    )?;
    // Asked for, it runs, and fails with the reason.
    demand(
        &["--ignored", "are_elsewhere"],
        101,
        &["backend failed (infrastructure)", "seen: there is no cluster", "try: start one"],
    )
}

fn a_required_backend_that_is_absent_fails() -> Result<(), Failed> {
    let output = inner(&["are_elsewhere", "are_disturbed"], &[("SCENARIO_REQUIRE", "k8s,local")]);
    same(output.status.code(), Some(101))?;
    has(&text(&output.stdout), &["seen: there is no cluster", "capable of network_faults", "2 failed"])
}

fn logs_are_shown_of_the_case_that_fails() -> Result<(), Failed> {
    let output = inner(&["log_and"], &[]);
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    let expected = ["log of the framework:", "INFO", "a word of the body", "a word of a task", "panicked at"];
    has(&printed, &expected)?;
    has_not(&printed, "the one that passes")?;
    has_not(&said, "a word of")?;
    let shown = inner(&["log_and_pass", "--show-output"], &[]);
    has(&text(&shown.stderr), &["a word of the one that passes"])?;
    let filtered = inner(&["log_and_fail"], &[("RUST_LOG", "warn")]);
    has_not(&text(&filtered.stdout), "a word of")
}

fn logs_are_not_kept_without_capture() -> Result<(), Failed> {
    for output in
        [inner(&["log_and", "--no-capture"], &[]), inner(&["log_and"], &[("RUST_TEST_NOCAPTURE", "1")])]
    {
        has(
            &text(&output.stderr),
            &["a word of the one that passes", "a word of the body", "a word of a task"],
        )?;
        has_not(&text(&output.stdout), "a word of")?;
    }
    Ok(())
}

fn a_panic_of_a_task_is_told() -> Result<(), Failed> {
    let output = inner(&["leave_a_panic_behind"], &[]);
    same(output.status.code(), Some(0))?;
    has(
        &text(&output.stderr),
        &["passed, although task ", "panicked at runtime/tests/harness/", "the task gave up"],
    )
}

fn nodes_are_controlled_where_declared() -> Result<(), Failed> {
    demand(
        &["control_what"],
        101,
        &[
            "a scenario that declares that it controls nodes",
            "write `#[scenario(node_control)]`",
            "1 passed; 1 failed",
        ],
    )
}

fn a_satisfied_run_ends() -> Result<(), Failed> {
    let output = inner(&["end_when_satisfied"], &[]);
    same(output.status.code(), Some(0))?;
    has(&text(&output.stderr), &["held until satisfied, 9m ", " before the window's end: ", "two_blocks"])
}

fn a_backend_of_ones_own_runs() -> Result<(), Failed> {
    demand(&["--exact", "own::scenarios::chains::own_ones_grow"], 0, &["1 passed"])
}

fn backends_of_one_name_are_told_apart() -> Result<(), Failed> {
    let args = ["--include-ignored", "own::scenarios::chains::own_ones"];
    demand(
        &args,
        101,
        &[
            "own_ones_halt ... FAILED",
            "1 passed; 1 failed",
            // What is ignored is to be run all the same.
            "-- --include-ignored --exact own::scenarios::chains::own_ones_halt",
        ],
    )
}

fn each_phase_is_a_line() -> Result<(), Failed> {
    let output = inner(&["--exact", "local::scenarios::chains::grow"], &[]);
    let said = text(&output.stderr);
    let phases =
        ["deploying", "ready after", "driving for 2s", "judging", "giving the cluster back", "passed"];
    let mut lines = said.lines();
    for phase in phases {
        let line = format!("local::scenarios::chains::grow: {phase}");
        if !lines.any(|seen| seen.starts_with(&line)) {
            return Err(format!("no line `{line}` in its place in:\n{said}").into());
        }
    }
    has_not(&text(&output.stdout), "deploying")
}

fn endpoints_are_printed_on_demand() -> Result<(), Failed> {
    let printed = |setting| {
        let case = ["--exact", "local::scenarios::chains::grow_in_sizes::v2e0"];
        text(&inner(&case, &[("TESTNET_PRINT_ENDPOINTS", setting)]).stdout)
    };
    has(
        &printed("1"),
        &["TESTNET_ENDPOINTS validator-0=http://", "\nTESTNET_ENDPOINTS validator-1=http://"],
    )?;
    has_not(&printed("off"), "TESTNET_ENDPOINTS")
}

fn json_is_json() -> Result<(), Failed> {
    let output = inner(&["--format", "json", "-Z", "unstable-options", "prove_nothing", "log_and_pass"], &[]);
    for line in text(&output.stdout).lines() {
        serde_json::from_str::<serde_json::Value>(line).map_err(|error| format!("{error} in {line}"))?;
    }
    has(&text(&output.stdout), &[r#""event": "failed""#, r#""event": "ok""#, "proves nothing"])
}

fn plain_tests_run() -> Result<(), Failed> {
    demand(
        &["plain::"],
        101,
        &[
            "2 passed; 2 failed; 1 ignored",
            "an error: nothing is right",
            "a panic at runtime/tests/harness/scenarios.rs:",
            "`scenarios::plain::panics` panicked at runtime/tests/harness/scenarios.rs:",
            "ignored (for the list)",
        ],
    )?;
    demand(&["plain::ignored", "--ignored"], 0, &["1 passed"])?;
    let said = |args: &[&str]| text(&inner(args, &[]).stderr);
    has(
        &said(&["plain::counts", "--show-output"]),
        &["scenarios::plain::counts: log:\n", "a word of a plain test"],
    )?;
    same(said(&["plain::counts"]), String::new())
}

fn a_shuffle_repeats_by_its_seed() -> Result<(), Failed> {
    let order = |seed: &str| {
        let output = inner(&["plain::", "--test-threads", "1", "--shuffle-seed", seed], &[]);
        let lines = text(&output.stdout);
        let is_case = |line: &&str| line.starts_with("test ") && !line.starts_with("test result");
        lines.lines().filter(is_case).map(str::to_owned).collect::<Vec<_>>()
    };
    same(order("1"), order("1"))?;
    let orders: Vec<_> = ["1", "2", "3", "4", "5"].map(order).into();
    if orders.iter().all(|order| *order == orders[0]) {
        Err("five seeds have one order".into())
    } else {
        Ok(())
    }
}

fn fail_fast_ignores_the_rest() -> Result<(), Failed> {
    demand(
        &["bodies::panic", "bodies::prove_nothing", "--fail-fast", "--test-threads=1"],
        101,
        &["0 passed; 1 failed; 1 ignored", "ignored (an earlier case failed, and --fail-fast is given)"],
    )?;
    demand(
        &["plain::fails", "plain::panics", "--fail-fast", "--test-threads=1"],
        101,
        &["0 passed; 1 failed; 1 ignored"],
    )
}

fn accounts_that_others_drew_fail_no_case() -> Result<(), Failed> {
    let output = inner(&["drawn_by", "--test-threads", "1"], &[("SCENARIO_ISOLATE", "0")]);
    let said = text(&output.stderr);
    has(&text(&output.stdout), &["2 passed"])?;
    has(&said, &["by_two: others drew the accounts that it needs; once more, on a cluster of its own"])?;
    has_not(&said, "by_one: others drew")?;
    // What fails for a cause of its own is no other's doing.
    let output = inner(&["by_one", "in_vain", "--test-threads", "1"], &[("SCENARIO_ISOLATE", "0")]);
    has(&text(&output.stdout), &["1 passed; 1 failed", "a cause of its own, lacked: true"])?;
    has_not(&text(&output.stderr), "others drew")?;
    // No cluster has so many.
    demand(&["do_not_suffice"], 101, &["accounts failed (test)", "`wallets(1001)` or more"])
}

fn a_failure_is_tried_alone() -> Result<(), Failed> {
    let printed = |isolate: &str| {
        let args = ["leave_a_panic_behind", "log_and_fail", "--test-threads", "1"];
        text(&inner(&args, &[("SCENARIO_ISOLATE", isolate)]).stdout)
    };
    let users = "its cluster was also used by local::scenarios::bodies::leave_a_panic_behind";
    let (on, off) = (printed("1"), printed("0"));
    has(&on, &["1 passed; 1 failed", "fails alone, too, with body (test): "])?;
    has_not(&on, users)?;
    has(&off, &["1 passed; 1 failed", users])?;
    has_not(&off, "fails alone")
}

fn a_lease_begins_anew() -> Result<(), Failed> {
    let output = inner(&["begin_anew", "--test-threads", "1"], &[]);
    let printed = text(&output.stdout);
    has(&printed, &["lease 0 has", "lease 1 has", "lease 2 has", "3 passed"])?;
    has(&text(&output.stderr), &["clusters: 1 made for 3 leases of 1 keys"])?;
    // What a body prints does not end up in a line of the harness, which is whole even where it is the only one.
    let alone = inner(&["begin_anew_first"], &[]);
    has(
        &text(&alone.stdout),
        &["\nlease 0 has", "\ntest local::scenarios::leases::begin_anew_first ... ok\n"],
    )
}

fn clusters_are_counted_at_the_end() -> Result<(), Failed> {
    let output = inner(&["chains::grow", "--test-threads", "2"], &[]);
    let said = text(&output.stderr);
    // Those of one, two and three nodes.
    has(&said, &["clusters: 3 made for 3 leases of 3 keys: 3 first of its key"])?;
    has_not(&text(&inner(&["no_such_case"], &[]).stderr), "clusters: ")
}

fn a_fault_plan_is_repeated_from_a_report() -> Result<(), Failed> {
    let case = ["--exact", "own::scenarios::chains::bear_chaos"];
    let run = |name: &str, seed: &str, more: &[&str]| {
        let invocation = format!("harness-test-{name}-{}", std::process::id());
        let env = [("NEXTEST_RUN_ID", invocation.as_str()), ("SCENARIO_SEED", seed)];
        let output = inner(&[&case, more].concat(), &env);
        has(&text(&output.stdout), &["1 passed"])?;
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("it is in the target folder")?;
        let folder = target.join("scenario").join(invocation).join("own.scenarios.chains.bear_chaos/1");
        let report = folder.join("report.json");
        let read: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&report)?)?;
        let plan = read["drives"][0]["sections"]["faults"].to_string();
        Ok::<_, Failed>((report.display().to_string(), plan))
    };
    let (report, plan) = run("first", "1", &[])?;
    has(&plan, &[r#""fault":{"restart":"validator-"#, r#""fault":{"isolate":"validator-3"}"#])?;
    same(run("same", "1", &[])?.1, plan.clone())?;
    let other = run("other", "2", &[])?.1;
    demand_other(&other, &plan)?;
    same(run("repeated", "2", &["--fault-plan", &report])?.1, plan)
}

fn demand_other(seen: &str, than: &str) -> Result<(), Failed> {
    if seen == than { Err(format!("another seed does the same: {seen}").into()) } else { Ok(()) }
}

fn nextest_finds_the_failure_on_stderr() -> Result<(), Failed> {
    let output = inner(&["prove_nothing"], &[("NEXTEST_RUN_ID", "harness-test")]);
    has(&text(&output.stderr), &["\nError: body failed (test)\n", "such a scenario proves nothing"])?;
    has(&text(&output.stdout), &["body failed (test)"])?;
    has_not(&text(&output.stdout), "such a scenario proves nothing")?;
    let output = inner(&["plain::fails"], &[("NEXTEST_RUN_ID", "harness-test")]);
    has(&text(&output.stderr), &["Error: an error: nothing is right\n"])
}
