//! What faults do to the links of a relayed cluster, and that they heal: told by the nodes, and by what the relay saw.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use logos_scenario::deployer::{Cluster, NodeAction};
use logos_scenario::faults::{Link, LinkState, NetworkFault};
use logos_scenario::{Deployer, wait};

use crate::Outcome;
use crate::subject::{Fixture, Subject, WITHIN, validators};

/// Far longer than a block needs to get from node to node, and to be asked for.
const LATE: Duration = Duration::from_secs(4);

fn link() -> Link {
    Link::new("validator-0", "validator-1")
}

async fn link_state(fixture: &Fixture, link: &Link) -> anyhow::Result<LinkState> {
    let links = fixture.cluster.links().await?;
    links.into_iter().find(|state| state.link == *link).context("the link is there")
}

/// Waits until the relay saw something of a link.
async fn until_seen(
    fixture: &Fixture,
    link: &Link,
    what: &str,
    holds: impl Fn(&LinkState) -> bool,
) -> Outcome {
    let probe = || async {
        let seen = link_state(fixture, link).await.map_err(|error| error.to_string())?;
        if holds(&seen) { Ok(()) } else { Err(format!("{seen:?}")) }
    };
    wait::until(what, WITHIN, probe).await.map_err(|error| anyhow!("{error}"))
}

/// Waits until each node tells this number of peers, in the plan's order.
async fn peers(fixture: &Fixture, wanted: &[usize]) -> Outcome {
    for (node, wanted) in fixture.names().iter().zip(wanted) {
        let client = fixture.client(node);
        let probe = || async {
            match client.network_info().await {
                Ok(info) if info.n_peers == *wanted => Ok(()),
                Ok(info) => Err(format!("{} peers", info.n_peers)),
                Err(error) => Err(error.to_string()),
            }
        };
        let waited = wait::until(&format!("{wanted} peers"), WITHIN, probe).await;
        waited.map_err(|error| anyhow!("{node}: {error}"))?;
    }
    Ok(())
}

pub(crate) async fn an_isolated_node_is_alone_until_it_heals(subject: Subject) -> Outcome {
    if !subject.backend.capabilities().network_faults {
        return Ok(());
    }
    let fixture = subject.relayed(validators(3).network_full()).await?;
    peers(&fixture, &[2, 2, 2]).await?;
    for _ in 0..2 {
        fixture.cluster.disturb(vec![NetworkFault::Isolate("validator-1".into())]).await?;
        peers(&fixture, &[1, 0, 1]).await?;
        let state = link_state(&fixture, &link()).await?;
        ensure!(state.shape.cut && state.open == 0, "{state:?}");
        let (height, _) = fixture.tip("validator-1").await?;
        fixture.reaches("validator-1", height + 1).await?;
        fixture.cluster.disturb(Vec::new()).await?;
        peers(&fixture, &[2, 2, 2]).await?;
        fixture.agrees().await?;
    }
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn sides_of_a_partition_go_on_alone_and_agree_afterwards(subject: Subject) -> Outcome {
    if !subject.backend.capabilities().network_faults {
        return Ok(());
    }
    let fixture = subject.relayed(validators(4).network_full()).await?;
    peers(&fixture, &[3, 3, 3, 3]).await?;
    let sides = [["validator-0", "validator-1"], ["validator-2", "validator-3"]];
    fixture.cluster.disturb(vec![NetworkFault::partition(sides[0], sides[1])]).await?;
    peers(&fixture, &[1, 1, 1, 1]).await?;
    let (height, _) = fixture.tip("validator-0").await?;
    for node in ["validator-0", "validator-2"] {
        fixture.reaches(node, height + 3).await?;
    }
    let (one, other) = (fixture.tip("validator-0").await?, fixture.tip("validator-2").await?);
    ensure!(one.1 != other.1, "both sides have block {one:?}");
    fixture.cluster.disturb(Vec::new()).await?;
    peers(&fixture, &[3, 3, 3, 3]).await?;
    let agree = || async {
        let infos = fixture.names().into_iter().map(|node| fixture.client(&node));
        let infos = infos.map(|client| async move { client.consensus_info().await.map(|info| info.tip) });
        match futures::future::try_join_all(infos).await {
            Ok(tips) if tips.windows(2).all(|pair| pair[0] == pair[1]) => Ok(()),
            Ok(tips) => Err(format!("tips {tips:?}")),
            Err(error) => Err(error.to_string()),
        }
    };
    wait::until("one tip", WITHIN, agree).await.map_err(|error| anyhow!("{error}"))?;
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn a_slow_link_lets_nodes_be_apart(subject: Subject) -> Outcome {
    if !subject.backend.capabilities().shaping {
        return Ok(());
    }
    // Only who sends on the slow link makes blocks.
    let topology = validators(2).with_node("validator-1", |node| node.stake(1));
    let fixture = subject.relayed(topology).await?;
    peers(&fixture, &[1, 1]).await?;
    fixture.reaches("validator-1", 1).await?;
    let latency = NetworkFault::Latency { link: link(), delay: LATE, jitter: Duration::ZERO };
    fixture.cluster.disturb(vec![latency]).await?;
    for _ in 0..3 {
        let (height, _) = fixture.tip("validator-0").await?;
        fixture.reaches("validator-0", height + 1).await?;
        let (height, tip) = fixture.tip("validator-0").await?;
        let block = fixture.client("validator-1").block(tip).await?;
        ensure!(block.is_none(), "block {height} is there at once, and not {LATE:?} later");
    }
    until_seen(&fixture, &link(), "what is late to arrive", |seen| seen.passed > 0).await?;
    let seen = link_state(&fixture, &link()).await?;
    ensure!(seen.least_held >= Some(LATE), "{seen:?}");
    let back = link_state(&fixture, &link().back()).await?;
    ensure!(back.shape == Default::default(), "{back:?}");
    fixture.cluster.disturb(Vec::new()).await?;
    let fast = |seen: &LinkState| seen.least_held.is_some_and(|held| held < LATE);
    until_seen(&fixture, &link(), "what is fast again", fast).await?;
    fixture.agrees().await?;
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn a_link_that_loses_all_carries_no_peer(subject: Subject) -> Outcome {
    if !subject.backend.capabilities().shaping {
        return Ok(());
    }
    let fixture = subject.relayed(validators(2)).await?;
    peers(&fixture, &[1, 1]).await?;
    fixture.cluster.disturb(vec![NetworkFault::Loss { link: link(), percent: 100 }]).await?;
    peers(&fixture, &[0, 0]).await?;
    until_seen(&fixture, &link(), "a loss", |seen| seen.lost > 0 && seen.passed == 0).await?;
    fixture.cluster.disturb(Vec::new()).await?;
    peers(&fixture, &[1, 1]).await?;
    fixture.agrees().await?;
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn a_narrow_link_is_no_faster_than_its_rate(subject: Subject) -> Outcome {
    const RATE: u64 = 20_000;
    if !subject.backend.capabilities().shaping {
        return Ok(());
    }
    let fixture = subject.relayed(validators(2)).await?;
    peers(&fixture, &[1, 1]).await?;
    fixture.cluster.disturb(vec![NetworkFault::Rate { link: link(), bytes_per_second: RATE }]).await?;
    until_seen(&fixture, &link(), "ten pieces to pass", |seen| seen.passed >= 10).await?;
    let seen = link_state(&fixture, &link()).await?;
    ensure!(seen.fastest.is_some_and(|fastest| fastest <= RATE), "{seen:?}");
    fixture.agrees().await?;
    fixture.cluster.disturb(Vec::new()).await?;
    until_seen(&fixture, &link(), "what is fast again", |seen| seen.fastest > Some(RATE)).await?;
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn a_restarted_node_finds_no_way_around_a_cut(subject: Subject) -> Outcome {
    if !subject.backend.capabilities().network_faults {
        return Ok(());
    }
    let fixture = subject.relayed(validators(3).network_full()).await?;
    peers(&fixture, &[2, 2, 2]).await?;
    fixture.cluster.disturb(vec![NetworkFault::Isolate("validator-2".into())]).await?;
    fixture.cluster.control("validator-2", NodeAction::Restart).await?;
    fixture.answers("validator-2").await?;
    let (height, _) = fixture.tip("validator-2").await?;
    fixture.reaches("validator-2", height + 2).await?;
    peers(&fixture, &[1, 1, 0]).await?;
    fixture.cluster.disturb(Vec::new()).await?;
    peers(&fixture, &[2, 2, 2]).await?;
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn links_of_a_plan_without_faults_are_not_disturbed(subject: Subject) -> Outcome {
    let fixture = subject.provision(&subject.plan(validators(2))?).await?;
    for refused in [fixture.cluster.disturb(Vec::new()).await.err(), fixture.cluster.links().await.err()] {
        let refused = refused.context("there is no relay")?;
        ensure!(refused.what.contains("planned without faults"), "{refused}");
    }
    Ok(fixture.cluster.teardown().await?)
}
