//! What an owner out of sight has is swept when its lease ran out, and not before.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use logos_scenario::{Deployer, K8sDeployer};
use serde_json::json;

use crate::Outcome;
use crate::ends::new_invocation;

pub(crate) async fn only_an_expired_lease_is_swept() -> Outcome {
    let namespaces = Api::<Namespace>::all(Client::try_default().await?);
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    let (expired, running) = (new_invocation(), new_invocation());
    for (name, until) in [(&expired, now - hour), (&running, now + hour)] {
        let until = until.duration_since(UNIX_EPOCH)?.as_secs().to_string();
        let namespace = json!({ "metadata": {
            "name": name,
            "labels": { "logos-scenario.cluster": name },
            "annotations": { "logos-scenario.owner": "elsewhere/1/2/3", "logos-scenario.lease-until": until },
        } });
        namespaces.create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
    }
    let swept = K8sDeployer::default().sweep().await;
    let left = (namespaces.get_opt(&expired).await?, namespaces.get_opt(&running).await?);
    namespaces.delete(&running, &DeleteParams::default()).await?;
    // Another process may have swept it meanwhile.
    swept?;
    ensure!(left.0.is_none(), "{expired} is left");
    ensure!(left.1.is_some_and(|left| left.metadata.deletion_timestamp.is_none()), "{running} was swept");
    Ok(())
}
