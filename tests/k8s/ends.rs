//! How a program ends, and what Kubernetes has of its clusters then.

use std::process::Stdio;

use anyhow::{Context, anyhow, ensure};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use logos_scenario::wait;
use logos_scenario_tests::inner::{Inner, are_logs_of};
use rustix::process::{Pid, Signal, kill_process};

use crate::inner::command;
use crate::relay::parted;
use crate::{Outcome, WITHIN};

pub(crate) fn new_invocation() -> String {
    format!("k8s-{:016x}", rand::random::<u64>())
}

/// The names of all that belongs to an invocation, besides what is in its namespaces.
pub(crate) async fn left(client: &Client, invocation: &str) -> Result<Vec<String>, String> {
    let of = ListParams::default().labels(&format!("logos-scenario.invocation={invocation}"));
    let namespaces =
        Api::<Namespace>::all(client.clone()).list(&of).await.map_err(|error| error.to_string())?;
    let volumes =
        Api::<PersistentVolume>::all(client.clone()).list(&of).await.map_err(|error| error.to_string())?;
    let namespaces = namespaces.iter().map(Namespace::name_any);
    Ok(namespaces.chain(volumes.iter().map(PersistentVolume::name_any)).collect())
}

/// Waits until Kubernetes has nothing of an invocation.
pub(crate) async fn nothing_is_left(client: &Client, invocation: &str) -> Outcome {
    let gone = async || {
        let left = left(client, invocation).await?;
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    };
    wait::until("the end of all it had", WITHIN, gone).await.map_err(|error| anyhow!("{error}"))
}

pub(crate) async fn logs_are_kept_where_a_setting_says() -> Outcome {
    let directory = tempfile::tempdir()?;
    let mut inner = command("passes", &new_invocation())?;
    inner.env("NOMOS_LOG_DIR", directory.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || inner.output()).await??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    are_logs_of(directory.path(), &["validator-0.log", "validator-1.log"]).await
}

/// Runs a case, ends it with a signal once a node of it runs if there is one, and waits until nothing is left.
async fn leaves_nothing(case: &str, signal: Option<Signal>, code: Option<i32>) -> Outcome {
    let (client, invocation) = (Client::try_default().await?, new_invocation());
    let mut inner = command(case, &invocation)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let pods = Api::<Pod>::all(client.clone());
    let of = ListParams::default().labels(&format!("logos-scenario.invocation={invocation}"));
    let runs = async || {
        let pods = pods.list(&of).await.map_err(|error| error.to_string())?;
        let phases = pods.into_iter().filter_map(|pod| pod.status?.phase);
        let phases: Vec<_> = phases.collect();
        if phases.iter().any(|phase| phase == "Running") { Ok(()) } else { Err(format!("{phases:?}")) }
    };
    let found = wait::until("a running pod", WITHIN, runs).await;
    if let Some(signal) = signal.or(found.is_err().then_some(Signal::KILL)) {
        kill_process(Pid::from_child(&inner), signal)?;
    }
    let status = tokio::task::spawn_blocking(move || inner.wait()).await??;
    found.map_err(|error| anyhow!("{error}"))?;
    nothing_is_left(&client, &invocation).await?;
    ensure!(status.code() == code, "{case} ended with {status}");
    Ok(())
}

pub(crate) async fn nothing_is_left_of_a_pass() -> Outcome {
    leaves_nothing("passes", None, Some(0)).await
}

pub(crate) async fn nothing_is_left_of_a_failure() -> Outcome {
    leaves_nothing("fails", None, Some(101)).await
}

pub(crate) async fn nothing_is_left_after_ctrl_c() -> Outcome {
    leaves_nothing("goes_on", Some(Signal::INT), Some(101)).await
}

pub(crate) async fn nothing_is_left_after_sigkill() -> Outcome {
    leaves_nothing("goes_on", Some(Signal::KILL), None).await
}

/// Its watcher is left, and removes what it had.
pub(crate) async fn nothing_is_left_when_the_keeper_is_killed_in_a_fault() -> Outcome {
    let (client, invocation) = (Client::try_default().await?, new_invocation());
    let (inner, namespace) = parted(&client, &invocation).await?;
    killed(keeper(&inner, &namespace)?)?;
    inner.fails(&["infrastructure"])?;
    nothing_is_left(&client, &invocation).await
}

/// Nobody is left to sweep up at once: the next one does.
pub(crate) async fn nothing_is_left_when_keeper_and_watcher_are_killed_in_a_fault() -> Outcome {
    let (client, invocation) = (Client::try_default().await?, new_invocation());
    let (inner, namespace) = parted(&client, &invocation).await?;
    let keeper = keeper(&inner, &namespace)?;
    let watchers = children(keeper)?;
    ensure!(!watchers.is_empty(), "nobody watches the keeper");
    for process in watchers.iter().map(String::as_str).chain([keeper]) {
        killed(process)?;
    }
    inner.fails(&["infrastructure"])?;
    // It may be that what another test left cannot be removed just now.
    command("passes", &invocation)?.arg("--sweep").output()?;
    nothing_is_left(&client, &invocation).await
}

/// The process that owns a cluster.
fn keeper<'a>(inner: &Inner, namespace: &'a Namespace) -> anyhow::Result<&'a str> {
    let owner = &namespace.annotations()["logos-scenario.owner"];
    let keeper = owner.split('/').nth(2).with_context(|| format!("{owner} names no process"))?;
    ensure!(keeper != inner.id().to_string(), "the cluster is the keeper's");
    Ok(keeper)
}

fn killed(process: &str) -> Outcome {
    let process = Pid::from_raw(process.parse()?).context("it is a process")?;
    Ok(kill_process(process, Signal::KILL)?)
}

/// The processes that a process started and that did not end.
fn children(of: &str) -> anyhow::Result<Vec<String>> {
    let parent = format!("PPid:\t{of}");
    let is_child = |process: &std::fs::DirEntry| {
        let status = std::fs::read_to_string(process.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line == parent)
    };
    let processes = std::fs::read_dir("/proc")?.flatten().filter(is_child);
    Ok(processes.map(|process| process.file_name().to_string_lossy().into_owned()).collect())
}
