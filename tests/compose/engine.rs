//! What the engine has of a cluster, as its own command tells.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, anyhow, ensure};
use logos_scenario::deployer::{Cluster, LogPart, NodeAction};
use logos_scenario::{ComposeDeployer, Deployer, wait};

use crate::{Outcome, WITHIN, deploy, placement, refused, scenario, validators};

/// Runs a command to its end.
pub(crate) fn run(program: &str, arguments: &[&str], directory: &Path) -> anyhow::Result<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the engine is asked by its own command, not by what is tested"
    )]
    let output = Command::new(program).args(arguments).current_dir(directory).output();
    let Output { status, stdout, stderr } = output.with_context(|| program.to_owned())?;
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    ensure!(status.success(), "{program} {arguments:?}: {said}");
    Ok(said)
}

pub(crate) fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    run("docker", arguments, Path::new("/"))
}

/// The names of everything that has a label.
pub(crate) fn labelled(label: &str) -> anyhow::Result<Vec<String>> {
    let filter = format!("label={label}");
    let mut names = Vec::new();
    for (kind, format) in [
        (["ps", "-a"].as_slice(), "{{.Names}}"),
        (&["network", "ls"], "{{.Name}}"),
        (&["volume", "ls"], "{{.Name}}"),
    ] {
        let listed = docker(&[kind, &["--filter", &filter, "--format", format]].concat())?;
        names.extend(listed.lines().map(str::to_owned));
    }
    Ok(names)
}

pub(crate) async fn nodes_may_do_no_more_than_they_need() -> Outcome {
    let (_directory, place, label) = placement()?;
    let cluster =
        ComposeDeployer::default().provision(&scenario(validators(1))?.plan("compose"), &place).await?;
    let names = labelled(&label)?;
    let container =
        names.iter().find(|name| name.ends_with("_validator-0_1")).context("it has a container")?;
    let seen = docker(&[
        "inspect",
        "--format",
        "{{.HostConfig.Privileged}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}} \
         {{.HostConfig.SecurityOpt}} {{.HostConfig.PidsLimit}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.Binds}} \
         {{.Config.User}} {{len .HostConfig.PortBindings}}",
        container,
    ])?;
    ensure!(
        seen.trim()
            == "false true [ALL] [] [no-new-privileges:true] 512 1073741824 1073741824 [] 65534:65534 0",
        "{seen}"
    );
    // What Compose's own tools find the project by.
    let project = container.trim_end_matches("_validator-0_1");
    ensure!(labelled(&format!("com.docker.compose.project={project}"))?.len() == 4, "{names:?}");
    cluster.teardown().await?;
    let left = labelled(&label)?;
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}

pub(crate) async fn nodes_write_to_their_directory_and_to_tmp_alone() -> Outcome {
    let keeps_blocks_in =
        |folder: &'static str| validators(1).with_node("validator-0", |node| node.config("storage", folder));
    deploy(keeps_blocks_in("/tmp/blocks")).await?.teardown().await?;
    let failed = refused(keeps_blocks_in("/blocks")).await?.to_string();
    ensure!(failed.contains("Read-only file system"), "{failed}");
    Ok(())
}

pub(crate) async fn nothing_is_left_of_a_failed_deployment() -> Outcome {
    let (directory, place, label) = placement()?;
    let topology = validators(2).with_node("validator-1", |node| node.image("no/such:image"));
    let made = ComposeDeployer::default().provision(&scenario(topology)?.plan("compose"), &place).await;
    ensure!(made.is_err(), "the image is missing");
    let left = labelled(&label)?;
    ensure!(left.is_empty(), "left: {left:?}");
    ensure!(directory.path().read_dir()?.next().is_none(), "files are left");
    let (directory, place, label) = placement()?;
    let mut plan = scenario(validators(2))?.plan("compose");
    plan.nodes[1].files[0].text.push_str("${host:nobody}");
    let made = ComposeDeployer::default().provision(&plan, &place).await;
    let failed = made.err().context("it has networks, but cannot be rendered")?;
    ensure!(failed.to_string().contains("${host:nobody}"), "{failed}");
    let left = labelled(&label)?;
    ensure!(left.is_empty(), "left: {left:?}");
    ensure!(directory.path().read_dir()?.next().is_none(), "files are left");
    // Nobody else has a cluster of this key.
    let topology = || validators(2).with_node("validator-1", |node| node.config("listen", "203.0.113.2:1"));
    refused(topology()).await?;
    let left = labelled(&format!("logos-scenario.key={}", scenario(topology())?.plan("compose").key))?;
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}

/// By a volume that a later one replaces, since nobody who looks from elsewhere can see the process.
pub(crate) async fn an_owner_says_that_it_lives() -> Outcome {
    let (_directory, place, label) = placement()?;
    let plan = scenario(validators(1))?.plan("compose");
    let cluster = ComposeDeployer::default().provision(&plan, &place).await?;
    let said = || async {
        let names = labelled(&label).map_err(|error| error.to_string())?;
        if names.iter().any(|name| name.contains("_alive-")) { Ok(()) } else { Err(names.join(", ")) }
    };
    wait::until("a sign of life", WITHIN, said).await.map_err(|error| anyhow!("{error}"))?;
    cluster.teardown().await?;
    let left = labelled(&label)?;
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}

/// It is asked to, and killed only if it does not.
pub(crate) async fn a_node_that_is_stopped_ends_by_itself() -> Outcome {
    let (_directory, place, label) = placement()?;
    let plan = scenario(validators(1))?.plan("compose");
    let cluster = ComposeDeployer::default().provision(&plan, &place).await?;
    let names = labelled(&label)?;
    let container = names.iter().find(|name| name.ends_with("_validator-0_1")).context("it has one")?;
    for (end, code) in [(NodeAction::Stop, "0"), (NodeAction::Kill, "137")] {
        let started = || async {
            let log =
                cluster.logs("validator-0", LogPart::From(0)).await.map_err(|error| error.to_string())?;
            if log.text.is_empty() { Err("an empty log") } else { Ok(()) }.map_err(str::to_owned)
        };
        wait::until("its first line", WITHIN, started).await.map_err(|error| anyhow!("{error}"))?;
        cluster.control("validator-0", end).await?;
        let ended = docker(&["inspect", "--format", "{{.State.ExitCode}}", container])?;
        ensure!(ended.trim() == code, "after {end} its exit code is {ended}");
        cluster.control("validator-0", NodeAction::Start).await?;
    }
    Ok(cluster.teardown().await?)
}

/// Another process with a cluster of one validator: the runner example. Dropping it kills the process.
pub(crate) struct Owner(Child);

impl Drop for Owner {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Owner {
    /// Starts the process with a setting.
    pub(crate) fn start(name: &str, value: &str) -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "another process is to be the owner of a cluster")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_compose_runner"));
        command.args(["--validators", "1", "--executors", "0", "--run-seconds", "600"]).env(name, value);
        Ok(Self(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?))
    }

    /// Waits until its cluster has a running container.
    pub(crate) async fn runs(&self) -> Outcome {
        let owner = self.label();
        let runs = || async {
            let owned = owned(&owner).map_err(|error| error.to_string())?;
            if owned.iter().any(|line| line.contains(" Up ")) { Ok(()) } else { Err(format!("{owned:?}")) }
        };
        wait::until("a running container", WITHIN, runs).await.map_err(|error| anyhow!("{error}"))
    }

    /// What the label of what it owns has.
    pub(crate) fn label(&self) -> String {
        format!("/{}/", self.0.id())
    }

    /// Waits for its end; its exit code, and what it said.
    pub(crate) fn ends(mut self) -> anyhow::Result<(Option<i32>, String)> {
        let mut said = String::new();
        self.0.stderr.take().context("it is piped")?.read_to_string(&mut said)?;
        Ok((self.0.wait()?.code(), said))
    }
}

/// The containers of an owner whose label has a text.
fn owned(owner: &str) -> anyhow::Result<Vec<String>> {
    let format = "{{.Names}} {{.Label \"logos-scenario.owner\"}} {{.Status}}";
    let all = docker(&["ps", "-a", "--filter", "label=logos-scenario.owner", "--format", format])?;
    Ok(all.lines().filter(|line| line.contains(owner)).map(str::to_owned).collect())
}

pub(crate) async fn what_a_dead_owner_left_is_swept() -> Outcome {
    let owner = Owner::start("SCENARIO_REQUIRE", "")?;
    owner.runs().await?;
    let label = owner.label();
    drop(owner);
    swept(&label).await
}

/// Sweeps until nothing is left of an owner. What others left is not its affair.
async fn swept(owner: &str) -> Outcome {
    let gone = || async {
        let swept = ComposeDeployer::default().sweep().await;
        let owned = owned(owner).map_err(|error| error.to_string())?;
        if owned.is_empty() { Ok(()) } else { Err(format!("{owned:?} after {swept:?}")) }
    };
    wait::until("the end of all it had", WITHIN, gone).await.map_err(|error| anyhow!("{error}"))
}

/// A network that somebody else's container is on stays as long as that container does.
pub(crate) async fn what_cannot_be_removed_holds_up_no_cluster() -> Outcome {
    let plan = scenario(validators(1))?.plan("compose");
    let (_directory, place, label) = placement()?;
    let guest = ComposeDeployer::default().provision(&plan, &place).await?;
    let names = labelled(&label)?;
    let container = names.iter().find(|name| name.ends_with("_validator-0_1")).context("it has one")?;
    let owner = Owner::start("SCENARIO_REQUIRE", "")?;
    owner.runs().await?;
    let dead = owner.label();
    let host =
        owned(&dead)?.first().and_then(|line| line.split('_').next()).context("it has one")?.to_owned();
    let network = format!("{host}_control");
    docker(&["network", "connect", &network, container])?;
    drop(owner);

    let left = ComposeDeployer::default().sweep().await.err().context("the network cannot be removed")?;
    ensure!(left.to_string().contains(&host) && left.to_string().contains("active endpoints"), "{left}");
    let (_directory, place, _) = placement()?;
    let made = ComposeDeployer::default();
    let made = tokio::time::timeout(WITHIN, made.provision(&plan, &place)).await.context("held up")??;
    ensure!(docker(&["network", "ls"])?.contains(&network), "it was removed");
    made.teardown().await?;
    guest.teardown().await?;
    swept(&dead).await?;
    ensure!(!docker(&["network", "ls"])?.contains(&network), "it is left");
    Ok(())
}
