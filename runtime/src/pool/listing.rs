//! `--clusters`: which clusters there are, who uses them, and who waits.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::keeper::{Reached, find, is_nobody, silent, sockets};
use super::ledger::{Holder, Listed, Waits};
use super::wire::{Reply, Request};
use crate::env;

/// How long a keeper may take to say what it has.
const WITHIN: Duration = Duration::from_secs(5);

/// Prints the clusters of all keepers of this build folder, for people or as JSON; what cannot be told, on stderr.
pub(crate) fn print(json: bool) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (clusters, problems) = match runtime {
        Ok(runtime) => runtime.block_on(all()),
        Err(error) => (Vec::new(), vec![format!("no runtime: {error}")]),
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&clusters).expect("a list is plain data"));
    } else if clusters.is_empty() && problems.is_empty() {
        println!("there are no clusters");
    } else {
        clusters.iter().for_each(|cluster| print!("{}", described(cluster)));
    }
    problems.iter().for_each(|problem| eprintln!("error: {problem}"));
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All clusters, and what keeps any from being listed.
async fn all() -> (Vec<Listed>, Vec<String>) {
    let sockets = match sockets() {
        Ok(sockets) => sockets,
        Err(error) => return (Vec::new(), vec![error.to_string()]),
    };
    let (mut clusters, mut problems) = (Vec::new(), Vec::new());
    let listed = sockets.into_iter().map(|socket| async move { of_keeper(&socket?).await });
    for listed in futures::future::join_all(listed).await {
        match listed {
            Ok(listed) => clusters.extend(listed),
            Err(problem) => problems.push(problem),
        }
    }
    (clusters, problems)
}

/// What one keeper has; nothing where there is no keeper any more, which is noted until the next one comes.
async fn of_keeper(socket: &Path) -> Result<Vec<Listed>, String> {
    let (keeper, within) = (Reached::default(), env::settings().scaled(WITHIN));
    let asked = async {
        let mut link = find(socket, &keeper).await?;
        let _ = link.requests.send(Request::List);
        while let Some(reply) = link.replies.recv().await {
            if let Reply::Clusters(listed) = reply {
                return Ok(listed);
            }
        }
        Ok(Vec::new())
    };
    match (tokio::time::timeout(within, asked).await, keeper.pid()) {
        (Ok(Ok(listed)), _) => Ok(listed),
        (Ok(Err(error)), _) if is_nobody(&error) => Ok(Vec::new()),
        (Ok(Err(error)), _) => Err(format!("{}: {error}", socket.display())),
        (Err(_), Some(pid)) => Err(silent(pid, within).to_string()),
        (Err(_), None) => Err(format!("{}: no answer within {within:?}", socket.display())),
    }
}

fn described(cluster: &Listed) -> String {
    let Listed { key, backend, nodes, stage, age, granted, keeper, .. } = cluster;
    let stage = format!("{stage:?}").to_lowercase();
    let mut text = format!(
        "{backend} cluster {key}: {stage}, {nodes} nodes, {age:.0} s old, {granted} leases so far, keeper {keeper}\n"
    );
    for holder in &cluster.holders {
        let sharing = format!("{:?}", holder.sharing).to_lowercase();
        let Holder { case, pid, seconds, .. } = holder;
        text += &format!("  {case} since {seconds:.0} s ({sharing}, process {pid})\n");
    }
    for Waits { case, pid, seconds } in &cluster.waiting {
        text += &format!("  {case} waits since {seconds:.0} s (process {pid})\n");
    }
    if !cluster.owners.is_empty() {
        let owners: Vec<_> = cluster.owners.iter().map(ToString::to_string).collect();
        text += &format!("  lives for invocation {}\n", owners.join(", "));
    }
    if let Some(idle) = cluster.idle {
        text += &format!("  unused since {idle:.0} s\n");
    }
    if let Some(kept) = cluster.kept {
        text +=
            &format!("  kept for {kept:.0} s more; `kill {keeper}` ends it and all others of its keeper\n");
    }
    if let Some(poison) = &cluster.poison {
        text += &format!("  used no more, {poison}\n");
    }
    if !cluster.directory.is_empty() {
        text += &format!("  files: {}\n", cluster.directory);
    }
    text
}
