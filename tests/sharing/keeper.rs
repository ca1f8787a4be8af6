//! The keeper: it is killed, it lingers and is adopted, and it says what it keeps.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use logos_scenario::deployer::{DeployError, Placement};
use logos_scenario::plan::Plan;
use logos_scenario::{ChainAgreement, Deployer, LocalDeployer, Run, ScenarioBuilderExt, scenario, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::runner::{self, Invocation};
use super::{Files, demand, has};

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);

/// A local backend that deploys when a file is there.
#[derive(Default)]
struct Gated(LocalDeployer);

/// The file for which deployments of an invocation wait.
fn file(invocation: &str) -> PathBuf {
    std::env::temp_dir().join(format!("{invocation}.open"))
}

impl Deployer for Gated {
    type Cluster = <LocalDeployer as Deployer>::Cluster;

    fn name(&self) -> &str {
        "gated"
    }

    async fn provision(&self, plan: &Plan, place: &Placement) -> Result<Self::Cluster, DeployError> {
        let file = file(&place.labels["invocation"]);
        let open = || async { if file.exists() { Ok(()) } else { Err("it is not there") } };
        wait::until("the file", WITHIN, open)
            .await
            .map_err(|error| DeployError::new("file", error, "make it"))?;
        self.0.provision(plan, place).await
    }
}

#[scenario(validators = 1, slot = "230ms", duration = "2s", backend = Gated::default)]
async fn deployed_late(run: &mut Run) -> logos_scenario::Result {
    run.with_expectation(ChainAgreement::default());
    run.drive().await
}

/// The clusters that there are, as soon as they are so.
pub(crate) fn clusters(are: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>, Failed> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let listed: Vec<Value> = serde_json::from_str(&runner::clusters()?)?;
        if are(&listed) {
            return Ok(listed);
        }
        demand(Instant::now() < deadline, format_args!("clusters: {listed:?}"))?;
    }
}

fn is_held_by(listed: &[Value], case: &str) -> bool {
    listed
        .iter()
        .any(|it| it["holders"].as_array().is_some_and(|all| all.iter().any(|it| it["case"] == case)))
}

pub(crate) fn killed_while_it_deploys() -> Result<(), Failed> {
    let files = Files::of("killed")?;
    let case = "gated::keeper::deployed_late";
    let invocation = Invocation::start("cargo", &files.name, 46, &["--exact", case])?;
    let waits = |it: &&Value| it["stage"] == "deploying" && it["waiting"][0]["case"] == case;
    let listed = clusters(|listed| listed.iter().any(|it| waits(&it)))?;
    kill_process(listed.iter().find(waits).map(pid_of).ok_or("there is none")??, Signal::KILL)?;
    fs::write(file(&files.name), "")?;
    let (passed, said) = invocation.end()?;
    fs::remove_file(file(&files.name))?;
    demand(passed, &said)?;
    let report = files.reports()?.remove(&format!("{}/1", case.replace("::", "."))).ok_or("no report")?;
    let lost = report.neighbours.map(|neighbours| neighbours.keepers_lost);
    demand(lost == Some(1), format_args!("keepers lost: {lost:?}\n{said}"))?;
    files.remove()
}

pub(crate) fn lingers_and_is_adopted() -> Result<(), Failed> {
    let files = Files::of("linger")?;
    let _ends = Ends(&files.name);
    let args = ["--exact", "local::suite::single::a"];
    let linger = [("SCENARIO_LINGER", "5m")];
    let first = Invocation::start_with("cargo", &files.name, 47, &args, &linger)?;
    let (passed, said) = first.end()?;
    demand(passed, said)?;
    let of_this = |it: &&Value| it["directory"].as_str().is_some_and(|path| path.contains(&files.name));
    // Its keeper has seen that the invocation ended.
    let is_left = |it: &&Value| of_this(it) && it["owners"].as_array().is_none_or(Vec::is_empty);
    let listed = clusters(|listed| listed.iter().any(|it| is_left(&it)))?;
    let keeper = listed.iter().find(of_this).map(pid_of).ok_or("it lingers")??;

    let (passed, said) = Invocation::start("cargo-nextest", &files.name, 47, &args)?.end()?;
    demand(passed, &said)?;
    demand(files.clusters()? == 2, format_args!("what lingers is for those who let it:\n{said}"))?;
    let lingers = |it: &&Value| of_this(it) && it["granted"] == 1 && it["idle"].is_number();
    clusters(|listed| listed.iter().filter(of_this).count() == 1 && listed.iter().any(|it| lingers(&it)))?;

    let again = Invocation::start_with("cargo-nextest", &files.name, 47, &args, &linger)?;
    let (passed, said) = again.end()?;
    demand(passed, &said)?;
    demand(files.clusters()? == 2, format_args!("another cluster was made:\n{said}"))?;
    kill_process(keeper, Signal::TERM)?;
    files.remove()
}

/// Ends the keepers of an invocation's clusters, on every way out.
pub(crate) struct Ends<'a>(pub(crate) &'a str);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        // What is left of a check that failed is not told besides.
        let listed = runner::clusters().ok().and_then(|listed| serde_json::from_str(&listed).ok());
        let listed: Vec<Value> = listed.unwrap_or_default();
        let of_this = |it: &&Value| it["directory"].as_str().is_some_and(|path| path.contains(self.0));
        for keeper in listed.iter().filter(of_this).filter_map(|it| pid_of(it).ok()) {
            let _ = kill_process(keeper, Signal::TERM);
        }
    }
}

/// The keeper of a cluster.
fn pid_of(cluster: &Value) -> Result<Pid, Failed> {
    let pid = cluster["keeper"].as_i64().ok_or("a cluster has a keeper")?;
    Ok(Pid::from_raw(i32::try_from(pid)?).ok_or("a pid is not 0")?)
}

pub(crate) fn says_what_it_keeps() -> Result<(), Failed> {
    let files = Files::of("says")?;
    let case = "local::suite::waiting::goes_on";
    let mut invocation = Invocation::start("cargo", &files.name, 48, &["--exact", case])?;
    let listed = clusters(|listed| is_held_by(listed, case))?;
    let cluster =
        listed.iter().find(|it| is_held_by(std::slice::from_ref(it), case)).ok_or("there is none")?;
    let told = ["key", "age", "directory"].map(|field| !cluster[field].is_null());
    demand(told == [true; 3] && cluster["backend"] == "local" && cluster["nodes"] == 1, cluster)?;
    let keeper = pid_of(cluster)?;
    kill_process(keeper, Signal::STOP)?;
    let listed = runner::list()?;
    kill_process(keeper, Signal::CONT)?;
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    let pid = keeper.as_raw_nonzero();
    has(&said, &[&format!("process {pid} is stopped"), &format!("`kill -CONT {pid}`")])?;
    demand(!listed.status.success(), "the list is not whole")?;
    invocation.child.kill()?;
    clusters(|listed| !is_held_by(listed, case))?;
    invocation.end()?;
    files.remove()
}
