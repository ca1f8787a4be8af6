//! How the process starts, refuses to start, and ends.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::cluster::{Cluster, Layout, spawn, until};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("signals_end_a_node_at_once", signals_end_a_node_at_once),
        trial("what_is_wrong_is_one_line", what_is_wrong_is_one_line),
        trial("a_taken_port_is_one_line", a_taken_port_is_one_line),
        trial("options_answer_and_end", options_answer_and_end),
    ]
}

/// Runs the program to its end: exit code, stdout and stderr.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = spawn(arguments, Stdio::piped()).wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn signals_end_a_node_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut cluster = Cluster::new(2, "200ms", Layout::Full, |_, _| ());
        cluster.start().await;
        until("it is at height 1", 20, async || cluster.height(0).await >= 1).await;
        let mut stream = cluster.get(0, "/cryptarchia/blocks/stream").await.unwrap();
        assert!(stream.chunk().await.unwrap().is_some());
        let (status, time) = cluster.end(0, signal);
        assert_eq!(status.code(), Some(0));
        assert!(time < Duration::from_millis(200), "{time:?}");
    }
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
