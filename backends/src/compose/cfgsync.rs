//! The server from which some programs fetch their configuration instead of finding it in a file.
//!
//! `POST /validator` and `POST /executor` tell who asks; answers wait until every node that starts with the cluster
//! has asked, and are the node's whole configuration as JSON. A node that asks again, since it was restarted, is
//! answered again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use logos_scenario_runtime::deployer::DeployError;
use logos_scenario_runtime::plan::PlannedNode;
use logos_scenario_runtime::topology::Role;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::render::{self, Subnets};

/// Settings of all servers.
const SETTINGS: &str = include_str!("../../assets/cfgsync.yaml");
/// The port on which programs expect the server.
pub(super) const PORT: u16 = 4400;

/// What the settings file may say.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// In seconds.
    timeout: u64,
    #[serde(default)]
    tracing_settings: Tracing,
}

/// Fields of a configuration's `tracing` that go before the plan's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tracing {
    #[serde(skip_serializing_if = "Option::is_none")]
    logger: Option<Logger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracing: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<String>,
}

/// Where a node logs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum Logger {
    Stdout,
    Stderr,
    None,
    File { directory: String, prefix: Option<String> },
    Gelf { addr: String },
    Loki { endpoint: String, host_identifier: String },
}

/// Who asks. The numbers of ports are the plan's already.
#[derive(Debug, Deserialize)]
struct Host {
    #[serde(rename = "ip")]
    _ip: std::net::Ipv4Addr,
    identifier: String,
    #[serde(default, rename = "network_port")]
    _network_port: Option<u16>,
    #[serde(default, rename = "da_port")]
    _da_port: Option<u16>,
    #[serde(default, rename = "blend_port")]
    _blend_port: Option<u16>,
    #[serde(default, rename = "api_port")]
    _api_port: Option<u16>,
    #[serde(default, rename = "testing_http_port")]
    _testing_http_port: Option<u16>,
}

type Configurations = BTreeMap<(Role, String), Value>;

/// The configurations of one cluster, and who asked for them.
#[derive(Debug)]
pub(super) struct Served {
    configurations: RwLock<Configurations>,
    /// What is laid over each.
    tracing: Map<String, Value>,
    /// Those that are started with the cluster.
    awaited: BTreeSet<String>,
    asked: watch::Sender<BTreeSet<String>>,
    timeout: Duration,
}

/// What serves their configurations to those rendered nodes that fetch them, if any does, on the gateway of the
/// control network alone.
pub(super) async fn server(
    rendered: &[PlannedNode],
    subnets: &Subnets,
) -> Result<Option<(Arc<Served>, impl Future<Output = ()> + use<>)>, DeployError> {
    if rendered.iter().all(|node| node.fetches.is_none()) {
        return Ok(None);
    }
    let failed =
        |try_next: &'static str| move |error: String| DeployError::new("cfgsync server", error, try_next);
    let served = served(rendered, SETTINGS)
        .map_err(failed("mend assets/cfgsync.yaml, or what the node program plans to be fetched"))?;
    let served = Arc::new(served);
    let address = SocketAddr::from((render::gateway(subnets.control), PORT));
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("cannot listen at {address}: {error}")).map_err(
        failed("use an engine whose networks are on this machine, or a program that finds its file"),
    )?;
    let router = router(Arc::clone(&served));
    // It goes on until it is dropped.
    Ok(Some((served, async move { drop(axum::serve(listener, router).await) })))
}

impl Served {
    fn configuration(&self, role: Role, name: &str) -> Result<Value, String> {
        let served = self.configurations.read().unwrap_or_else(PoisonError::into_inner);
        served.get(&(role, name.to_owned())).cloned().ok_or_else(|| {
            let known: Vec<_> = served.keys().map(|(_, name)| name.as_str()).collect();
            format!("there is no {role} `{name}`, only {}", known.join(", "))
        })
    }

    /// Answers a node that was planned anew by its new configuration.
    pub(super) fn replan(&self, node: &PlannedNode) -> Result<(), String> {
        if let Some(configuration) = configuration(node, &self.tracing)? {
            let mut served = self.configurations.write().unwrap_or_else(PoisonError::into_inner);
            served.insert((node.role, node.name.clone()), configuration);
        }
        Ok(())
    }
}

fn served(rendered: &[PlannedNode], settings: &str) -> Result<Served, String> {
    let settings: Settings =
        serde_saphyr::from_str(settings).map_err(|error| format!("cfgsync.yaml: {error}"))?;
    let tracing = serde_json::to_value(&settings.tracing_settings).map_err(|error| error.to_string())?;
    let tracing = tracing.as_object().cloned().unwrap_or_default();
    let (mut configurations, mut awaited) = (BTreeMap::new(), BTreeSet::new());
    for node in rendered {
        let Some(configuration) = configuration(node, &tracing)? else { continue };
        configurations.insert((node.role, node.name.clone()), configuration);
        if !node.late {
            awaited.insert(node.name.clone());
        }
    }
    let timeout = Duration::from_secs(settings.timeout);
    let configurations = RwLock::new(configurations);
    Ok(Served { configurations, tracing, awaited, asked: watch::Sender::default(), timeout })
}

/// What a node is answered, if it fetches anything.
fn configuration(node: &PlannedNode, tracing: &Map<String, Value>) -> Result<Option<Value>, String> {
    let Some(path) = &node.fetches else { return Ok(None) };
    let file = node.files.iter().find(|file| file.path == *path);
    let file =
        file.ok_or_else(|| format!("{} fetches {}, which is none of its files", node.name, path.display()))?;
    let mut configuration: Value = serde_saphyr::from_str(&file.text)
        .map_err(|error| format!("{} of {} is no YAML: {error}", file.path.display(), node.name))?;
    if !tracing.is_empty() {
        let own = configuration.get_mut("tracing").and_then(Value::as_object_mut);
        let own = own.ok_or_else(|| {
            format!("cfgsync.yaml: {}'s {} has no `tracing` to lay its own over", node.name, path.display())
        })?;
        own.extend(tracing.clone());
    }
    Ok(Some(configuration))
}

fn router(served: Arc<Served>) -> Router {
    Router::new()
        .route("/validator", post(|state, host| answer(state, Role::Validator, host)))
        .route("/executor", post(|state, host| answer(state, Role::Executor, host)))
        .with_state(served)
}

async fn answer(State(served): State<Arc<Served>>, role: Role, Json(host): Json<Host>) -> Response {
    let configuration = match served.configuration(role, &host.identifier) {
        Ok(configuration) => configuration,
        Err(text) => return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response(),
    };
    served.asked.send_if_modified(|asked| asked.insert(host.identifier));
    let mut asked = served.asked.subscribe();
    let all = asked.wait_for(|asked| served.awaited.is_subset(asked));
    match tokio::time::timeout(served.timeout, all).await {
        Ok(_) => Json(configuration).into_response(),
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join;
    use logos_scenario_runtime::node::{HttpTransport, Reply, Request, Transport as _};
    use serde_json::json;

    use super::*;

    fn nodes() -> Vec<PlannedNode> {
        let node = |name: &str, role: &str| {
            json!({
                "name": name, "role": role,
                "executable": { "program": "node", "path": null },
                "args": [], "env": {}, "ports": [],
                "fetches": "config.yaml",
                "files": [{ "path": "config.yaml", "text": format!("name: {name}\ntracing:\n  level: INFO\n  filter: None\n") }],
            })
        };
        serde_json::from_value(json!([node("validator-0", "validator"), node("executor-0", "executor")]))
            .unwrap()
    }

    struct Server(HttpTransport);

    impl Server {
        async fn start(settings: &str) -> Self {
            Self::of(&nodes(), settings).await
        }

        async fn of(nodes: &[PlannedNode], settings: &str) -> Self {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let served = Arc::new(served(nodes, settings).unwrap());
            tokio::spawn(async move { axum::serve(listener, router(served)).await });
            Self(HttpTransport::new(base))
        }

        async fn ask(&self, path: &str, body: Value) -> (u16, String) {
            let reply = self.0.send(Request::post(path, body)).await.unwrap();
            let Reply { status, body } = reply;
            (status, String::from_utf8(body).unwrap())
        }
    }

    fn host(name: &str) -> Value {
        json!({ "ip": "10.0.0.2", "identifier": name, "network_port": 3000 })
    }

    #[tokio::test]
    async fn all_are_answered_when_all_have_asked_and_again_later() {
        let server =
            Server::start("timeout: 60\ntracing_settings:\n  level: DEBUG\n  logger: !File\n    directory: /node\n    prefix: log\n")
                .await;
        let (validator, executor) =
            join(server.ask("/validator", host("validator-0")), server.ask("/executor", host("executor-0")))
                .await;
        assert_eq!((validator.0, executor.0), (200, 200));
        let configuration: Value = serde_json::from_str(&validator.1).unwrap();
        let tracing = json!({
            "level": "DEBUG", "filter": "None", "logger": { "File": { "directory": "/node", "prefix": "log" } },
        });
        assert_eq!(configuration, json!({ "name": "validator-0", "tracing": tracing }));
        assert_eq!(server.ask("/validator", host("validator-0")).await, validator, "it was restarted");
    }

    #[test]
    fn who_is_planned_anew_is_answered_so() {
        let (mut nodes, served) = (nodes(), served(&nodes(), "timeout: 0").unwrap());
        nodes[0].files[0].text = "name: another\n".to_owned();
        served.replan(&nodes[0]).unwrap();
        let answered = served.configuration(Role::Validator, "validator-0").unwrap();
        assert_eq!(answered, json!({ "name": "another" }));
        nodes[0].files[0].text = "[".to_owned();
        assert!(served.replan(&nodes[0]).unwrap_err().starts_with("config.yaml of validator-0 is no YAML"));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_late_node() {
        let mut nodes = nodes();
        nodes[1].late = true;
        let server = Server::of(&nodes, "timeout: 0").await;
        assert_eq!(server.ask("/validator", host("validator-0")).await.0, 200);
        assert_eq!(server.ask("/executor", host("executor-0")).await.0, 200);
    }

    #[tokio::test]
    async fn who_asks_alone_or_wrongly_is_told() {
        let server = Server::start("timeout: 0").await;
        assert_eq!(server.ask("/validator", host("validator-0")).await, (408, String::new()));
        assert_eq!(server.ask("/validator", json!({ "ip": "10.0.0.2" })).await.0, 422);
        let (status, text) = server.ask("/executor", host("validator-0")).await;
        assert_eq!((status, text.starts_with("there is no executor `validator-0`")), (500, true), "{text}");
        assert_eq!(server.ask("/node", host("validator-0")).await.0, 404);
    }

    #[test]
    fn settings_are_checked() {
        served(&nodes(), SETTINGS).unwrap();
        for wrong in [
            "timeout: 1\nport: 1",
            "timeout: 1\ntracing_settings: {loger: Stdout}",
            "timeout: 1\ntracing_settings:\n  logger: !File\n    directory: /node\n    prefx: log\n",
            "{}",
        ] {
            assert!(served(&nodes(), wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_served_is_told() {
        let refused = |nodes: &[PlannedNode]| {
            served(nodes, "timeout: 1\ntracing_settings: {level: DEBUG}").err().unwrap_or_default()
        };
        let mut nodes = nodes();
        nodes[0].files[0].text = "name: validator-0".to_owned();
        assert_eq!(
            refused(&nodes),
            "cfgsync.yaml: validator-0's config.yaml has no `tracing` to lay its own over"
        );
        nodes[0].files.clear();
        assert_eq!(refused(&nodes), "validator-0 fetches config.yaml, which is none of its files");
    }
}
