//! The relay between pods.

use anyhow::Context;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt as _};
use logos_scenario_tests::inner::Inner;

use crate::Outcome;
use crate::ends::{new_invocation, nothing_is_left};
use crate::inner::{PARTED, command};
use crate::refusals::told;

/// Starts a case, up to the moment when a node of its cluster is isolated, and finds its namespace.
pub(crate) async fn parted(client: &Client, invocation: &str) -> anyhow::Result<(Inner, Namespace)> {
    let inner = Inner::start(command("is_parted", invocation)?, PARTED)?;
    let of = ListParams::default().labels(&format!("logos-scenario.invocation={invocation}"));
    let namespaces = Api::<Namespace>::all(client.clone()).list(&of).await?;
    Ok((inner, namespaces.into_iter().next().context("it has a namespace")?))
}

/// Somebody removes it while a node is cut off: that is no doing of the nodes, and heals nothing.
pub(crate) async fn its_end_is_told_and_nothing_is_left() -> Outcome {
    let (client, invocation) = (Client::try_default().await?, new_invocation());
    let (inner, namespace) = parted(&client, &invocation).await?;
    let pods = Api::<Pod>::namespaced(client.clone(), &namespace.name_any());
    pods.delete("relay-0", &DeleteParams::default().grace_period(1)).await?;
    inner.fails(&[
        "NoCrash failed (infrastructure)",
        "the relay between the nodes, pod relay-0 of namespace logos-scenario-",
        "relay.log",
    ])?;
    nothing_is_left(&client, &invocation).await
}

/// Faults are told to the relay, and their effect asked of it and of the nodes, by a port of a machine each.
pub(crate) async fn nodes_and_relay_are_reached_by_node_port() -> Outcome {
    let machines = Api::<Node>::all(Client::try_default().await?).list(&ListParams::default()).await?;
    let addresses = machines.into_iter().filter_map(|machine| machine.status?.addresses).flatten();
    let internal = addresses.into_iter().find(|address| address.type_ == "InternalIP");
    let host = internal.context("a machine has an address")?.address;
    told("is_parted_and_heals", &[("K8S_RUNNER_NODE_HOST", &host)], 0, &["1 passed"]).await
}
