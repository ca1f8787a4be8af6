//! The addresses of a cluster: two networks out of a pool that all users of the engine share.
//!
//! The engine itself is the arbiter: it refuses a network whose addresses another network has, so whoever made
//! the network has them, and nobody has to keep a list.

use bollard::Docker;
use futures::future::try_join_all;
use ipnet::Ipv4Net;
use logos_scenario_runtime::deployer::DeployError;
use logos_scenario_runtime::plan::Plan;

use super::engine;
use super::labels::Project;
use super::model::{Network, Subnet};
use super::render::{self, CONTROL, MAX_NODES, PEER, Subnets};
use crate::env::{SUBNETS, Settings};
use crate::planned;
use crate::relay::ways;

/// Makes the networks of a project, each with a range of addresses of its own.
pub(super) async fn reserve(
    docker: &Docker,
    project: &Project,
    plan: &Plan,
    settings: &Settings,
) -> Result<Subnets, DeployError> {
    match plan.relayed {
        true => planned::at_most(ways::MAX_NODES, plan, "a cluster of containers with faults")?,
        false => planned::at_most(MAX_NODES, plan, "a cluster of containers")?,
    }
    let template = render::template();
    let networks = render::peer_networks(plan);
    let peers = networks.into_iter().map(async |name| {
        let subnet = take(docker, project, settings.subnets, &name, &template.networks[PEER]).await?;
        Ok((name, subnet))
    });
    let (control, peers) = tokio::try_join!(
        take(docker, project, settings.subnets, CONTROL, &template.networks[CONTROL]),
        try_join_all(peers),
    )?;
    Ok(Subnets { control, peers })
}

async fn take(
    docker: &Docker,
    project: &Project,
    pool: Ipv4Net,
    name: &str,
    template: &Network,
) -> Result<Ipv4Net, DeployError> {
    let mut network = template.clone();
    for subnet in candidates(pool, rand::random()) {
        network.ipam.config = vec![Subnet { subnet }];
        if engine::create_network(docker, project, name, &network).await? {
            return Ok(subnet);
        }
    }
    Err(DeployError::new(
        project.name(name),
        format!("every /24 of {pool} belongs to another network of the engine"),
        format!("let {SUBNETS} name a larger pool, or remove networks with `docker network prune`"),
    ))
}

/// Every /24 of the pool, from a random one on: others try their luck at the same time.
fn candidates(pool: Ipv4Net, random: u32) -> impl Iterator<Item = Ipv4Net> {
    let count = 1_u32 << (24 - pool.prefix_len());
    let first = u32::from(pool.network());
    (0..count).map(move |index| {
        let chosen = (random % count + index) % count;
        Ipv4Net::new_assert((first + (chosen << 8)).into(), 24)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_network_of_the_pool_is_tried_once() {
        let pool: Ipv4Net = "10.144.0.0/12".parse().unwrap();
        let tried: Vec<_> = candidates(pool, 4_095).collect();
        assert_eq!(
            (tried[0].to_string(), tried[1].to_string()),
            ("10.159.255.0/24".into(), "10.144.0.0/24".into())
        );
        assert_eq!(tried.iter().collect::<HashSet<_>>().len(), 4_096);
        assert!(tried.iter().all(|subnet| pool.contains(subnet)));
        let least: Vec<_> =
            candidates("10.0.0.0/23".parse().unwrap(), 1).map(|subnet| subnet.to_string()).collect();
        assert_eq!(least, ["10.0.1.0/24", "10.0.0.0/24"]);
    }
}
