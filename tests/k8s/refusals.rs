//! What keeps a cluster from coming up is told with what to do, and leaves nothing.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, anyhow, bail, ensure};
use k8s_openapi::api::core::v1::{ResourceQuota, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::config::{Context as KubeContext, Kubeconfig, NamedAuthInfo, NamedContext};
use kube::{Api, Client};
use logos_scenario::wait;
use serde_json::json;

use crate::ends::{left, new_invocation, nothing_is_left};
use crate::inner::command;
use crate::{Outcome, WITHIN};

/// Runs a command to its end; its exit code, and what it said.
async fn outcome(mut command: Command) -> anyhow::Result<(Option<i32>, String)> {
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    Ok((status.code(), said))
}

/// Runs a case to its end with some settings, and looks for texts in what it said; nothing may be left of it.
pub(crate) async fn told(case: &str, settings: &[(&str, &str)], code: i32, texts: &[&str]) -> Outcome {
    let (client, invocation) = (Client::try_default().await?, new_invocation());
    let mut command = command(case, &invocation)?;
    command.envs(settings.iter().copied());
    let (ended, said) = outcome(command).await?;
    ensure!(ended == Some(code), "{case} ended with {ended:?}:\n{said}");
    for text in texts {
        ensure!(said.contains(text), "no `{text}` in:\n{said}");
    }
    nothing_is_left(&client, &invocation).await
}

pub(crate) async fn a_missing_image_is_told() -> Outcome {
    let texts = ["validator-1: its pod does not start", "Image", "no/such:image", "NOMOS_TESTNET_IMAGE"];
    told("lacks_an_image", &[("NOMOS_TESTNET_IMAGE_PULL_POLICY", "Never")], 101, &texts).await
}

pub(crate) async fn a_missing_image_of_the_relay_is_told() -> Outcome {
    let settings = [("NOMOS_TESTNET_IMAGE_PULL_POLICY", "Never"), ("SCENARIO_RELAY_IMAGE", "no/such:relay")];
    let texts =
        ["relay: its pod does not start", "image `no/such:relay` is", "SCENARIO_RELAY_IMAGE names another"];
    told("is_parted", &settings, 101, &texts).await
}

pub(crate) async fn a_program_that_the_image_lacks_is_told() -> Outcome {
    let texts =
        ["validator-1: its pod does not start", "k8s.gcr.io/pause:3.2", "the program `devnode`", "event "];
    told("lacks_a_program", &[], 101, &texts).await
}

/// Somebody limits the namespace as soon as it is there, mostly before its pods are made.
pub(crate) async fn a_quota_that_is_too_small_is_told() -> Outcome {
    const TRIES: usize = 5;
    let client = Client::try_default().await?;
    for _ in 0..TRIES {
        let invocation = new_invocation();
        let limited = async {
            let namespaces =
                async || left(&client, &invocation).await?.into_iter().next().ok_or("none".to_owned());
            let namespace = wait::until("a namespace", WITHIN, namespaces).await;
            let quotas = Api::<ResourceQuota>::namespaced(
                client.clone(),
                &namespace.map_err(|error| anyhow!("{error}"))?,
            );
            let quota = json!({ "metadata": { "name": "few" }, "spec": { "hard": { "pods": "0" } } });
            quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
            Ok(())
        };
        let ((), (code, said)) = tokio::try_join!(limited, outcome(command("passes", &invocation)?))?;
        nothing_is_left(&client, &invocation).await?;
        if code != Some(0) {
            ensure!(said.contains("exceeded quota: few"), "exit code {code:?}:\n{said}");
            ensure!(said.contains("give the namespaces of the cluster a larger quota"), "{said}");
            return Ok(());
        }
    }
    bail!("of {TRIES} clusters each had its pods before its quota")
}

pub(crate) async fn a_node_that_finds_no_machine_is_told() -> Outcome {
    let texts = ["Unschedulable", "Insufficient memory", "SCENARIO_NODE_MEMORY", "event FailedScheduling"];
    told("passes", &[("SCENARIO_NODE_MEMORY", "90000g")], 101, &texts).await
}

/// The kubeconfig that this program uses, with a change.
fn kubeconfig(
    directory: &Path,
    change: impl FnOnce(&mut Kubeconfig) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut kubeconfig = Kubeconfig::read()?;
    change(&mut kubeconfig)?;
    let path = directory.join("kubeconfig");
    // JSON is YAML too.
    std::fs::write(&path, serde_json::to_string(&kubeconfig)?)?;
    Ok(path.display().to_string())
}

/// An address for documentation, which is nobody's.
pub(crate) async fn a_machine_that_is_none_is_told() -> Outcome {
    // A name that nobody has; addresses that nobody has are answered by the gateways of some networks.
    let host = "no-machine.invalid";
    let machine = format!("K8S_RUNNER_NODE_HOST: `{host}` is no machine of the cluster");
    told("passes", &[("K8S_RUNNER_NODE_HOST", host)], 101, &[&machine, "`kubectl get nodes -o wide`"]).await
}

pub(crate) async fn a_storage_class_without_volumes_is_told() -> Outcome {
    let texts = ["PersistentVolumeClaims", "SCENARIO_KUBE_STORAGE_CLASS", "event ProvisioningFailed"];
    told("passes", &[("SCENARIO_KUBE_STORAGE_CLASS", "no-such-class")], 101, &texts).await
}

pub(crate) async fn missing_permissions_are_told_at_once() -> Outcome {
    let directory = tempfile::tempdir()?;
    let api: Api<ServiceAccount> = Api::namespaced(Client::try_default().await?, "default");
    let name = new_invocation();
    let account = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
    api.create(&PostParams::default(), &account).await?;
    // Whoever it is, it has no more rights than anybody.
    let path = kubeconfig(directory.path(), |kubeconfig| {
        let user = format!("system:serviceaccount:default:{name}");
        let current = kubeconfig.current_context.clone().context("there is a current context")?;
        let cluster = kubeconfig.contexts.iter().find(|context| context.name == current);
        let context = cluster.and_then(|named| named.context.clone()).context("it is there")?;
        let mut own = kubeconfig.auth_infos.iter().find(|named| Some(&named.name) == context.user.as_ref());
        let mut auth = own.take().and_then(|named| named.auth_info.clone()).unwrap_or_default();
        auth.impersonate = Some(user);
        kubeconfig.auth_infos.push(NamedAuthInfo {
            name: "nobody".to_owned(),
            auth_info: Some(auth),
            ..NamedAuthInfo::default()
        });
        let context = KubeContext { user: Some("nobody".to_owned()), ..context };
        kubeconfig.contexts =
            vec![NamedContext { name: "test".to_owned(), context: Some(context), ..NamedContext::default() }];
        kubeconfig.current_context = Some("test".to_owned());
        Ok(())
    })?;
    let texts = [
        "the user of context `test` may not: ",
        "create namespaces",
        "patch statefulsets.apps",
        "create pods/portforward",
        "kubectl --context test auth can-i",
    ];
    let outcome = told("passes", &[("KUBECONFIG", &path)], 101, &texts).await;
    api.delete(&name, &DeleteParams::default()).await?;
    outcome
}

pub(crate) async fn a_server_that_does_not_answer_is_told() -> Outcome {
    let directory = tempfile::tempdir()?;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let path = kubeconfig(directory.path(), |kubeconfig| {
        for named in &mut kubeconfig.clusters {
            named.cluster.as_mut().context("it has an address")?.server = Some(format!("https://{nobody}"));
        }
        Ok(())
    })?;
    let told_of = format!("the API server at https://{nobody} does not answer: ");
    told("passes", &[("KUBECONFIG", &path)], 101, &[&told_of, "start the cluster"]).await
}

pub(crate) async fn a_context_that_is_not_for_tests_is_refused() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = kubeconfig(directory.path(), |kubeconfig| {
        for named in &mut kubeconfig.contexts {
            named.name = "payments-production".to_owned();
        }
        kubeconfig.current_context = Some("payments-production".to_owned());
        Ok(())
    })?;
    let why = "context `payments-production` of the kubeconfig, for cluster `test`, does not look like one for tests";
    let settings = [("KUBECONFIG", path.as_str())];
    told("passes", &settings, 0, &[why, "SCENARIO_KUBE_ALLOW=payments-production"]).await?;
    told("passes", &[settings[0], ("SCENARIO_REQUIRE", "k8s")], 101, &[why]).await?;
    // By a port of a machine, too.
    let allowed =
        [settings[0], ("SCENARIO_KUBE_ALLOW", "payments-production"), ("K8S_RUNNER_NODE_HOST", "127.0.0.1")];
    told("passes", &allowed, 0, &["1 passed"]).await
}
