//! How the process starts, refuses to start, and ends.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use libtest_mimic::Trial;
use logos_scenario_devnode::wire::ApiBlock;
use rustix::process::Signal;

use crate::cluster::{Cluster, Layout, spawn, until};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("signals_end_a_node_at_once", signals_end_a_node_at_once),
        trial("what_is_wrong_is_one_line", what_is_wrong_is_one_line),
        trial("a_taken_port_is_one_line", a_taken_port_is_one_line),
        trial("options_answer_and_end", options_answer_and_end),
        trial("the_environment_decides_what_is_logged", the_environment_decides_what_is_logged),
        trial("a_log_may_go_to_a_directory", a_log_may_go_to_a_directory),
    ]
}

/// Runs the program to its end: exit code, stdout and stderr.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = spawn(arguments, Stdio::piped()).wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A client that does not go does not hold it up, and nothing that the client was told is lost.
async fn signals_end_a_node_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut cluster = Cluster::new(2, "200ms", Layout::Full, |_, _| ());
        cluster.start().await;
        let mut stream = cluster.get(0, "/cryptarchia/blocks/stream").await.unwrap();
        let mut told = Vec::new();
        while told.len() < 4 {
            told.push(block_of(&stream.chunk().await.unwrap().expect("the stream goes on")));
        }
        cluster.signal(0, signal);
        while let Ok(Some(line)) = stream.chunk().await {
            told.push(block_of(&line));
        }
        until("it has ended", 5, async || cluster.has_ended(0)).await;
        assert_eq!(cluster.end_of(0).code(), Some(0));
        cluster.end(1, Signal::KILL);
        cluster.spawn(0);
        cluster.ready(0).await;
        for id in told {
            let (_, block) = cluster.post(0, "/storage/block", &id.into()).await;
            assert_ne!(block, "null", "a block is lost that was in the tree");
        }
    }
}

/// The id of the block that a line of the block stream tells.
fn block_of(line: &[u8]) -> String {
    let block: ApiBlock = serde_json::from_slice(line).unwrap();
    block.header.id.to_string()
}

async fn what_is_wrong_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.yaml");
    let path = path.to_str().unwrap();
    let good = Cluster::new(1, "200ms", Layout::Star, |_, _| ()).nodes[0].config.to_yaml();
    let check = |text: Option<&str>, expected: &str| {
        let _: std::io::Result<()> = fs::remove_file(path);
        if let Some(text) = text {
            fs::write(path, text).unwrap();
        }
        for arguments in [&[path][..], &["--check-config", path]] {
            let (code, stdout, stderr) = run(arguments);
            assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(1), "", 1), "{stderr}");
            assert!(stderr.contains(path) && stderr.contains(expected), "{stderr}");
        }
    };
    check(None, "No such file");
    check(Some("name: ["), "line 1");
    check(Some(&good.replace("slot: 200ms", "slot: soon")), "slot: expected a duration such as `500ms`");
    check(Some(&good.replace("slot: 200ms", "slots: 200ms")), "unknown field `slots`");
}

async fn a_taken_port_is_one_line() {
    for field in ["listen", "http", "testing_http"] {
        let mut cluster = Cluster::new(1, "200ms", Layout::Star, |_, _| ());
        let config = &cluster.nodes[0].config;
        let address = match field {
            "listen" => &config.listen,
            "http" => &config.http,
            _ => &config.testing_http,
        };
        let _taken = TcpListener::bind(address).unwrap();
        let expected = format!("devnode: {field}: {address}: Address already in use (os error 98)\n");
        cluster.spawn(0);
        until("it has ended", 5, async || cluster.log_text(0).contains("devnode:")).await;
        assert_eq!(cluster.end_of(0).code(), Some(1));
        assert_eq!(cluster.log_text(0), expected);
    }
}

async fn options_answer_and_end() {
    let (code, stdout, _) = run(&["--version"]);
    assert_eq!((code, stdout.as_str()), (Some(0), concat!("devnode ", env!("CARGO_PKG_VERSION"), "\n")));
    let (code, stdout, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("Usage: devnode <config.yaml>"), "{stdout}");
    let cluster = Cluster::new(1, "200ms", Layout::Star, |_, _| ());
    let (code, stdout, stderr) = run(&["--check-config", cluster.path(0)]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.ends_with(": valid\n"), "{stdout}");
    let (code, _, stderr) = run(&["--check-config", "--loud"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("unknown option"), "{stderr}");
}

/// Runs a node with an environment until it is at height 2. Returns what it wrote to stderr.
async fn logged(environment: &[(&str, &str)], level: &str) -> String {
    let mut cluster = Cluster::new(1, "200ms", Layout::Star, |_, config| config.log = level.to_owned());
    cluster.spawn_with(0, environment);
    cluster.ready(0).await;
    until("it is at height 2", 20, async || cluster.height(0).await >= 2).await;
    cluster.log_text(0)
}

async fn the_environment_decides_what_is_logged() {
    let log = logged(&[], "info").await;
    assert!(log.contains(" INFO ") && !log.contains("DEBUG"), "{log}");
    assert_eq!(logged(&[], "error").await, "");
    assert_eq!(logged(&[("NOMOS_LOG_LEVEL", "error")], "info").await, "");
    // What a CI machine says in capitals is a level as well.
    let log = logged(&[("NOMOS_LOG_LEVEL", "INFO"), ("NOMOS_LOG_FILTER", "")], "error").await;
    assert!(log.contains(" INFO "), "{log}");
    // The filter is stronger than the level.
    let directives = "off,logos_scenario_devnode::node::state=info";
    let log = logged(&[("NOMOS_LOG_LEVEL", "error"), ("NOMOS_LOG_FILTER", directives)], "error").await;
    assert!(log.contains("made a block") && !log.contains("started"), "{log}");

    for (name, value) in [("NOMOS_LOG_LEVEL", "loud"), ("NOMOS_LOG_FILTER", "a=b=c")] {
        let mut cluster = Cluster::new(1, "200ms", Layout::Star, |_, _| ());
        cluster.spawn_with(0, &[(name, value)]);
        assert_eq!(cluster.end_of(0).code(), Some(1));
        let log = cluster.log_text(0);
        assert!(log.starts_with(&format!("devnode: {name}: ")) && log.lines().count() == 1, "{log}");
    }
}

async fn a_log_may_go_to_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("new/logs");
    assert_eq!(logged(&[("NOMOS_LOG_DIR", logs.to_str().unwrap())], "info").await, "");
    let log = fs::read_to_string(logs.join("validator-0.log")).unwrap();
    assert!(log.contains("made a block"), "{log}");
    let mut cluster = Cluster::new(1, "200ms", Layout::Star, |_, _| ());
    cluster.spawn_with(0, &[("NOMOS_LOG_DIR", logs.join("validator-0.log").to_str().unwrap())]);
    assert_eq!(cluster.end_of(0).code(), Some(1));
    let log = cluster.log_text(0);
    assert!(log.starts_with("devnode: NOMOS_LOG_DIR: ") && log.lines().count() == 1, "{log}");
}
