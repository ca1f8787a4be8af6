//! The Kubernetes cluster that a kubeconfig's context names, and whether it is one to make test clusters in.

use std::time::Duration;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use logos_scenario_runtime::deployer::{DeployError, Unavailable};

use crate::env::{KUBE_ALLOW, KUBE_CONTEXT, KUBECONFIG, Settings};

/// How long the API server may take to be connected to.
const CONNECT: Duration = Duration::from_secs(10);
/// Words in the names of clusters that somebody made for tests.
const TEST: [&str; 15] = [
    "ci",
    "colima",
    "desktop",
    "dev",
    "e2e",
    "k3d",
    "kind",
    "local",
    "localhost",
    "microk8s",
    "minikube",
    "orbstack",
    "sandbox",
    "test",
    "testing",
];
/// Words in the names of clusters that others depend on, whatever else the names say.
const PRODUCTION: [&str; 6] = ["live", "main", "mainnet", "prd", "prod", "production"];

/// A context of a kubeconfig that may be used.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) name: String,
    kubeconfig: Kubeconfig,
}

impl Context {
    /// Chooses the context, without touching its cluster.
    pub(super) fn find(settings: &Settings) -> Result<Self, Unavailable> {
        let unavailable = |missing: String, try_next: String| Unavailable { missing, try_next };
        let kubeconfig = Kubeconfig::read().map_err(|error| {
            unavailable(
                format!("no Kubernetes cluster: the kubeconfig cannot be read: {error}"),
                format!("let {KUBECONFIG} name the file that your cluster came with"),
            )
        })?;
        let chosen = settings.kube_context.clone().or_else(|| kubeconfig.current_context.clone());
        let Some(name) = chosen.filter(|name| !name.is_empty()) else {
            return Err(unavailable(
                "the kubeconfig has no current context".to_owned(),
                format!("let {KUBE_CONTEXT} name one of {}", listed(&kubeconfig)),
            ));
        };
        let found = kubeconfig.contexts.iter().find(|context| context.name == name);
        let Some(context) = found else {
            return Err(unavailable(
                format!("the kubeconfig has no context `{name}`"),
                format!("let {KUBE_CONTEXT} name one of {}", listed(&kubeconfig)),
            ));
        };
        let cluster = context.context.as_ref().map_or("", |context| context.cluster.as_str());
        if settings.kube_allow.as_ref() != Some(&name) && !is_for_tests(&name, cluster) {
            return Err(unavailable(
                format!(
                    "context `{name}` of the kubeconfig, for cluster `{cluster}`, does not look like one for tests"
                ),
                format!(
                    "let {KUBE_CONTEXT} name a context for tests, or set {KUBE_ALLOW}={name} if this is one"
                ),
            ));
        }
        Ok(Self { name, kubeconfig })
    }

    /// Where the kubeconfig says that the cluster's API is.
    pub(super) fn server(&self) -> Option<&str> {
        let named = self.kubeconfig.contexts.iter().find(|context| context.name == self.name)?;
        let cluster = &named.context.as_ref()?.cluster;
        let cluster = self.kubeconfig.clusters.iter().find(|named| named.name == *cluster)?;
        cluster.cluster.as_ref()?.server.as_deref()
    }

    /// A client of the cluster; its requests are made by the runtime that this is called on.
    pub(super) async fn client(&self) -> Result<Client, DeployError> {
        let failed = |error: &dyn std::fmt::Display| {
            DeployError::new(
                format!("context `{}`", self.name),
                format!("cannot be used: {error}"),
                format!("see whether `kubectl --context {} version` answers", self.name),
            )
        };
        let options = KubeConfigOptions { context: Some(self.name.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(self.kubeconfig.clone(), &options).await;
        let mut config = config.map_err(|error| failed(&error))?;
        config.connect_timeout = Some(CONNECT);
        Client::try_from(config).map_err(|error| failed(&error))
    }
}

fn listed(kubeconfig: &Kubeconfig) -> String {
    let names: Vec<_> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    if names.is_empty() { "its contexts, of which it has none".to_owned() } else { names.join(", ") }
}

/// Whether the names of a context and its cluster say that it is for tests. An address says nothing: behind one of
/// this machine there may be a tunnel to anywhere.
fn is_for_tests(context: &str, cluster: &str) -> bool {
    let words = || [context, cluster].into_iter().flat_map(|name| name.split(|c: char| !c.is_alphanumeric()));
    let has = |known: &[&str]| words().any(|word| known.contains(&word.to_ascii_lowercase().as_str()));
    has(&TEST) && !has(&PRODUCTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clusters_for_tests_look_like_such() {
        for (context, cluster) in [
            ("kind-kind", "kind-kind"),
            ("minikube", "minikube"),
            ("docker-desktop", "docker-desktop"),
            ("me@team/test.eu", "team"),
            ("default", "k3d-scenarios"),
        ] {
            assert!(is_for_tests(context, cluster), "{context} {cluster}");
        }
        for (context, cluster) in [
            ("default", "default"),
            ("", ""),
            ("test", "eu-production"),
            ("prod-test", "test"),
            ("latest", "contest"),
            ("arn:aws:eks:eu:1:cluster/payments", "payments"),
        ] {
            assert!(!is_for_tests(context, cluster), "{context} {cluster}");
        }
    }
}
