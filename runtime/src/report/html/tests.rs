//! What a page says of a run, whatever the run's files say.

use super::*;
use crate::deployer::Placement;
use crate::failure::{Failure, FailureClass};
use crate::report::{Journal, Phase};
use crate::topology::Role;

/// A run with a node's log, to the point that is wanted.
fn run(directory: &Path, log: &str, until: impl FnOnce(&Journal)) -> String {
    let path = directory.join("validator-0.log");
    fs::write(&path, log).unwrap();
    let journal = Journal::new(directory, "invocation", "local::<case>");
    journal.describe(|record| {
        record.nodes = vec![("validator-0".to_owned(), Role::Validator)];
        record.logs = vec![path.display().to_string()];
    });
    journal.enter(Phase::Queue);
    journal.enter(Phase::Drive);
    journal.event("tip", &json!({ "node": "validator-0", "height": 3, "id": "0123456789abcdef" }));
    until(&journal);
    fs::read_to_string(directory.join(FILE)).unwrap()
}

#[test]
fn a_failure_is_told_first_and_in_full() {
    let directory = tempfile::tempdir().unwrap();
    let failure = Failure::new(FailureClass::Product, "ConsensusLiveness")
        .expected("5 blocks")
        .seen("3 <blocks>")
        .because("slots were empty")
        .look("/run/validator-0.log")
        .try_next("look");
    let page = run(directory.path(), "a line\n", |journal| {
        journal.conclude(false, std::slice::from_ref(&failure), Some("cargo test".to_owned()));
    });
    let texts = [
        "local::&lt;case&gt;",
        "failed",
        "product",
        "ConsensusLiveness: slots were empty",
        "slots were empty",
        "5 blocks",
        "3 &lt;blocks&gt;",
        "/run/validator-0.log",
        "cargo test",
        "Timeline",
        "Height of each node",
        "Logs of all nodes",
    ];
    let mut rest = page.as_str();
    for text in texts {
        let at = rest.find(text).unwrap_or_else(|| panic!("`{text}` is not in the page, in this order"));
        rest = &rest[at..];
    }
}

#[test]
fn a_run_that_was_killed_has_a_page() {
    let directory = tempfile::tempdir().unwrap();
    let page = run(directory.path(), "", |_| {});
    assert!(page.contains("did not end") && page.contains("killed in its phase <b>drive</b>"));
    // Its last line is half written.
    let events = directory.path().join("events.jsonl");
    fs::write(&events, fs::read_to_string(&events).unwrap() + "{\"event\":\"bl").unwrap();
    write(directory.path()).unwrap();
    let page = fs::read_to_string(directory.path().join(FILE)).unwrap();
    assert!(page.contains("events.jsonl has lines that cannot be read: 1"));
    assert!(page.contains("height 3, 01234567"), "what came before it is shown");
}

#[test]
fn no_log_can_end_the_page_and_no_secret_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = "2026-01-01T00:00:00Z  INFO </script><script>alert(1)</script>\nat http://me:hunter2@host/\n";
    let page = run(directory.path(), log, |journal| {
        let failure =
            Failure::new(FailureClass::Infrastructure, "deploy").seen("http://me:hunter2@host/ refused");
        journal.conclude(false, &[failure], None);
    });
    assert!(!page.contains("<script>alert"));
    assert!(!page.contains("hunter2"));
    assert!(page.contains("http://***@host/"));
}

#[test]
fn a_log_that_is_gone_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), "", |journal| journal.conclude(true, &[], None));
    fs::remove_file(directory.path().join("validator-0.log")).unwrap();
    write(directory.path()).unwrap();
    let page = fs::read_to_string(directory.path().join(FILE)).unwrap();
    assert!(page.contains("the log of validator-0 cannot be read"));
}

#[test]
fn what_is_no_run_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = write(directory.path()).unwrap_err().to_string();
    assert!(error.contains("report.json cannot be read"), "{error}");
    fs::write(directory.path().join("report.json"), "{}").unwrap();
    let error = write(directory.path()).unwrap_err().to_string();
    assert!(error.contains("is no report of this version"), "{error}");
}

#[test]
fn a_disturbed_network_is_in_the_timeline() {
    let directory = tempfile::tempdir().unwrap();
    let page = run(directory.path(), "", |journal| {
        let fault = crate::faults::NetworkFault::Isolate("validator-0".to_owned());
        journal.event("network fault", &json!({ "applied": fault }));
        journal.event("network fault", &json!({ "healed": [fault] }));
        journal.conclude(true, &[], None);
    });
    assert!(page.contains("<td>network fault</td><td>isolate validator-0</td>"));
    assert!(!page.contains("cannot be read"));
}

#[test]
fn a_long_run_has_a_page_that_a_browser_bears() {
    const NODES: usize = 5;
    let directory = tempfile::tempdir().unwrap();
    let mut log = String::new();
    while log.len() < 2 << 20 {
        log +=
            "2026-01-01T00:00:00Z  INFO applied a block block=\"3c230796\" height=8 slot=9 transactions=2\n";
    }
    let page = run(directory.path(), &log, |journal| {
        let path = directory.path().join("validator-0.log").display().to_string();
        let name = |node: usize| format!("validator-{node}");
        journal.describe(|record| {
            record.nodes = (0..NODES).map(|node| (name(node), Role::Validator)).collect();
            record.logs = vec![path; NODES];
        });
        for height in 0..2_000 * NODES {
            let node = name(height % NODES);
            journal.event("tip", &json!({ "node": node, "height": height, "id": "0123456789abcdef" }));
        }
        journal.conclude(true, &[], None);
    });
    assert!(page.len() < 10 << 20, "{} bytes", page.len());
    assert!(page.contains("Of every 3 changes of a tip one is drawn."));
    assert!(page.contains("bytes of the log of validator-4 are left out here, see "));
}

#[test]
fn what_was_swept_is_on_the_page_of_the_invocation() {
    let invocation = tempfile::tempdir().unwrap();
    let [case, cluster] = ["local.case/1", "cluster-1/1"].map(|folder| invocation.path().join(folder));
    for folder in [&case, &cluster] {
        fs::create_dir_all(folder).unwrap();
    }
    run(&case, "", |_| {});
    let page = || {
        crate::report::index::write(invocation.path()).unwrap();
        fs::read_to_string(invocation.path().join("index.html")).unwrap()
    };
    assert!(!page().contains("container &lt;left&gt;"));
    let placement = Placement { directory: cluster, labels: [].into() };
    placement.swept(&["container <left>".to_owned()]);
    assert!(page().contains("container &lt;left&gt;"));
}
