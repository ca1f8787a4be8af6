//! What a message says when a node does not come up.

use anyhow::ensure;
use logos_scenario::FailureClass;

use crate::{Outcome, refused, validators};

fn tells(text: &str, parts: &[&str]) -> Outcome {
    for part in parts {
        ensure!(text.contains(part), "no `{part}` in:\n{text}");
    }
    Ok(())
}

pub(crate) async fn a_missing_image_is_told_with_what_builds_it() -> Outcome {
    let failed = refused(validators(2).with_node("validator-1", |node| node.image("no/such:image"))).await?;
    ensure!(failed.class() == FailureClass::Infrastructure, "{failed}");
    tells(
        &failed.to_string(),
        &["image `no/such:image`", "NOMOS_TESTNET_IMAGE=no/such:image scripts/build/build-test-image.sh"],
    )
}

pub(crate) async fn a_program_that_the_image_lacks_is_told() -> Outcome {
    let failed = refused(validators(1).with_node("validator-0", |node| node.binary("/bin/true"))).await?;
    tells(&failed.to_string(), &["validator-0", "/bin/true", "node.image(..)"])
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
