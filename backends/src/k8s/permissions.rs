//! What this backend must be allowed to do, asked of the cluster beforehand, so that all that is missing is told at
//! once.

use futures::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use logos_scenario_runtime::deployer::DeployError;

use super::context::Context;
use super::engine::said;

/// What is done, by API group and resource.
const NEEDED: [(&str, &str, &[&str]); 14] = [
    ("", "namespaces", &["create", "delete", "get", "list", "patch"]),
    ("", "nodes", &["list"]),
    ("", "events", &["list"]),
    ("", "persistentvolumeclaims", &["create", "deletecollection", "list"]),
    ("", "persistentvolumes", &["create", "delete", "list"]),
    ("", "pods", &["create", "delete", "deletecollection", "list", "watch"]),
    ("", "pods/log", &["get"]),
    ("", "pods/portforward", &["create", "get"]),
    ("", "secrets", &["create"]),
    ("", "serviceaccounts", &["create"]),
    ("", "services", &["create"]),
    ("apps", "statefulsets", &["create", "deletecollection", "patch"]),
    ("networking.k8s.io", "networkpolicies", &["create"]),
    ("storage.k8s.io", "storageclasses", &["list"]),
];

/// Asks for every permission in all namespaces, since that of a cluster is yet to be made.
pub(super) async fn check(client: &Client, context: &Context) -> Result<(), DeployError> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let asked = NEEDED
        .iter()
        .flat_map(|(group, resource, verbs)| verbs.iter().map(|verb| (*group, *resource, *verb)));
    let answers = asked.map(async |(group, resource, verb)| {
        let answer = api.create(&PostParams::default(), &review(group, resource, verb)).await?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        Ok::<_, kube::Error>((!allowed).then(|| told(group, resource, verb)))
    });
    let answers = try_join_all(answers).await;
    let (name, server) = (&context.name, context.server().unwrap_or_default());
    let answers = answers.map_err(|error| unanswered(&error, name, server))?;
    let gaps: Vec<_> = answers.into_iter().flatten().collect();
    if gaps.is_empty() { Ok(()) } else { Err(missing(&gaps, name)) }
}

fn review(group: &str, resource: &str, verb: &str) -> SelfSubjectAccessReview {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let asked = ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec {
        resource_attributes: Some(asked),
        ..SelfSubjectAccessReviewSpec::default()
    };
    SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() }
}

/// `patch statefulsets.apps`, as `kubectl auth can-i` takes it.
fn told(group: &str, resource: &str, verb: &str) -> String {
    match group {
        "" => format!("{verb} {resource}"),
        group => format!("{verb} {resource}.{group}"),
    }
}

/// Why nothing can be asked at all.
fn unanswered(error: &kube::Error, context: &str, server: &str) -> DeployError {
    let said = said(error);
    let (what, try_next) = match error {
        kube::Error::Api(status) if status.code == 401 => (
            format!("the API server at {server} does not know its user: {said}"),
            format!(
                "renew the kubeconfig's credentials, until `kubectl --context {context} get namespaces` answers"
            ),
        ),
        kube::Error::Api(_) => (
            format!("what its user may do cannot be asked: {said}"),
            "read what the API server says".to_owned(),
        ),
        _ => (
            format!("the API server at {server} does not answer: {said}"),
            format!("start the cluster, or see why `kubectl --context {context} version` finds none"),
        ),
    };
    DeployError::new(format!("context `{context}`"), what, try_next)
}

fn missing(gaps: &[String], context: &str) -> DeployError {
    DeployError::new(
        "permissions",
        format!("the user of context `{context}` may not: {}", gaps.join(", ")),
        format!(
            "grant these in a ClusterRole bound to that user; `kubectl --context {context} auth can-i {} -A` \
             asks for one",
            gaps[0]
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_told() {
        let status =
            kube::core::Status { code: 401, message: "Unauthorized".to_owned(), ..Default::default() };
        assert_eq!(
            unanswered(&kube::Error::Api(Box::new(status)), "test", "https://10.0.0.1").to_string(),
            "context `test`: the API server at https://10.0.0.1 does not know its user: Unauthorized; renew the \
             kubeconfig's credentials, until `kubectl --context test get namespaces` answers"
        );
    }

    #[test]
    fn all_gaps_are_told_at_once() {
        let gaps = [told("", "pods/log", "get"), told("apps", "statefulsets", "patch")];
        assert_eq!(
            missing(&gaps, "test").to_string(),
            "permissions: the user of context `test` may not: get pods/log, patch statefulsets.apps; grant these in a \
             ClusterRole bound to that user; `kubectl --context test auth can-i get pods/log -A` asks for one"
        );
        assert_eq!(
            review("", "pods/log", "get").spec.resource_attributes.unwrap().subresource.as_deref(),
            Some("log")
        );
    }
}
