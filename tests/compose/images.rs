//! What nodes run, and what a message says when one does not come up.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use logos_scenario::{ComposeDeployer, Deployer, FailureClass, wait};

use crate::engine::{docker, run};
use crate::inner::told;
use crate::{Outcome, WITHIN, deploy, refused, scenario, validators};

fn tells(text: &str, parts: &[&str]) -> Outcome {
    for part in parts {
        ensure!(text.contains(part), "no `{part}` in:\n{text}");
    }
    Ok(())
}

pub(crate) async fn a_missing_image_is_told_with_what_builds_it() -> Outcome {
    let topology = validators(3)
        .with_node("validator-1", |node| node.image("no/such:image"))
        .with_node("validator-2", |node| node.image("nor/such:image"));
    let failed = refused(topology).await?;
    ensure!(failed.class() == FailureClass::Infrastructure, "{failed}");
    tells(
        &failed.to_string(),
        &[
            "image `no/such:image`, image `nor/such:image`",
            "NOMOS_TESTNET_IMAGE=no/such:image scripts/build/build-test-image.sh",
            "NOMOS_TESTNET_IMAGE=nor/such:image",
        ],
    )
}

pub(crate) async fn a_missing_image_of_the_relay_is_told_with_what_builds_it() -> Outcome {
    let settings = [("SCENARIO_RELAY_IMAGE", "no/such:relay")];
    told("is_parted", &settings, 101, "SCENARIO_RELAY_IMAGE=no/such:relay scripts/build/build-test-image.sh")
}

pub(crate) async fn a_program_of_this_machine_is_told() -> Outcome {
    let failed = refused(validators(1).with_node("validator-0", |node| node.binary("/bin/true"))).await?;
    tells(&failed.to_string(), &["validator-0", "/bin/true", "node.image(..)"])
}

/// The relay's image has the relay alone.
pub(crate) async fn a_program_that_the_image_lacks_is_told() -> Outcome {
    let image = "logos-scenario-relay:local";
    let failed = refused(validators(1).with_node("validator-0", |node| node.image(image))).await?;
    tells(
        &failed.to_string(),
        &["exec: \"devnode\"", &format!("use another image than `{image}`, which lacks it")],
    )
}

pub(crate) async fn a_node_that_ends_is_told_with_its_log() -> Outcome {
    let failed =
        refused(validators(2).with_node("validator-1", |node| node.config("listen", "203.0.113.1:1")))
            .await?;
    tells(
        &failed.to_string(),
        &["validator-1 ended by itself with exit code 1", "last lines of validator-1's log"],
    )
}

/// An image of this test's own, removed at its end.
struct Image(String);

impl Drop for Image {
    fn drop(&mut self) {
        // It may not be there.
        let _ = docker(&["image", "rm", "--force", &self.0]);
    }
}

/// The same program in another image, with the data that it had in the one before.
pub(crate) async fn a_node_goes_on_with_another_image() -> Outcome {
    let image = Image(format!("logos-scenario-another-{:08x}:test", rand::random::<u32>()));
    docker(&["tag", "logos-scenario-node:local", &image.0])?;
    let runner = deploy(validators(1)).await?;
    let (node, control) = ("validator-0", runner.control());
    let client = runner.node_clients().by_name(node).context("it is planned")?;
    let before = client.consensus_info().await?;
    let missing = control.restart_with(node, |node| node.image("no/such:image")).await.err();
    let missing = missing.context("there is no such image")?.to_string();
    tells(&missing, &["image `no/such:image`", "the engine does not have it"])?;
    ensure!(control.state(node).await?.starts == 1, "what is refused is so before the node is stopped");

    control.restart_with(node, |node| node.image(&image.0)).await?;
    let has_block = || async {
        match client.block(before.tip).await {
            Ok(Some(_)) => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    };
    wait::until("the chain that it had", WITHIN, has_block).await?;
    let running = docker(&["ps", "--filter", &format!("ancestor={}", image.0), "--format", "{{.Image}}"])?;
    ensure!(running.lines().any(|name| name == image.0), "{running}");
    Ok(runner.teardown().await?)
}

/// Packs the in-tree node from a tar on two bases made from nothing: the image runs, and its content is its identity.
pub(crate) async fn the_script_packs_programs_on_a_base() -> Outcome {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    let name = format!("logos-scenario-packed-{:08x}", rand::random::<u32>());
    let (image, base) = (Image(format!("{name}:test")), Image(format!("{name}-base:test")));
    let source = docker(&["create", "logos-scenario-node:local", "none"])?;
    let copied =
        run("sh", &["-c", &format!("docker cp {}:/usr/bin/devnode - > node.tar", source.trim())], here);
    docker(&["rm", source.trim()])?;
    copied?;
    let scenario = scenario(validators(1).with_node("validator-0", |node| node.image(&image.0)))?;
    let mut identities = BTreeSet::new();
    for build in ["one", "two"] {
        std::fs::write(here.join("Dockerfile"), format!("FROM scratch\nLABEL build={build}\n"))?;
        run("docker", &["build", "--quiet", "--tag", &base.0, "."], here)?;
        let setting = format!("NOMOS_TESTNET_IMAGE={}", image.0);
        let tar = here.join("node.tar").display().to_string();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/build/build-test-image.sh");
        run("env", &[&setting, script, "--binaries", &tar, "--base", &base.0], here)?;
        identities.insert(ComposeDeployer::default().identity(&scenario.plan("compose")).await?);
    }
    ensure!(identities.len() == 2, "another image is known as the one before: {identities:?}");
    Ok(ComposeDeployer::default().deploy(&scenario).await?.teardown().await?)
}
