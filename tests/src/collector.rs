//! A collector for one machine: takes traces and metrics in by OTLP over HTTP, as protobuf or JSON, keeps them, and shows
//! the metrics to a Prometheus that asks for them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Names with their values, as texts.
pub type Labels = BTreeMap<String, String>;

/// What a collector has got.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Each span with what is said of who sent it.
    pub spans: Vec<(Labels, Span)>,
    /// What is said of those who sent metrics.
    pub resources: Vec<Labels>,
    /// The last value of each series, by metric, under the name that Prometheus has for it, and labels.
    pub metrics: BTreeMap<String, BTreeMap<Labels, f64>>,
    /// What could not be understood.
    pub refused: Vec<String>,
}

/// A collector that listens until it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    _serving: JoinSet<()>,
}

impl Collector {
    /// Listens at an address; port 0 is any that is free.
    ///
    /// # Errors
    ///
    /// Nothing can listen there.
    pub async fn start(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let received = Arc::<Mutex<Received>>::default();
        let router = Router::new()
            .route("/metrics", get(show))
            .route("/{*path}", post(take))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(Arc::clone(&received));
        let mut serving = JoinSet::new();
        serving.spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { address, received, _serving: serving })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has got by now.
    #[must_use]
    pub fn received(&self) -> Received {
        lock(&self.received).clone()
    }
}

fn lock(received: &Mutex<Received>) -> MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(
    State(received): State<Arc<Mutex<Received>>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let mut received = lock(&received);
    let taken = match path.rsplit('/').next() {
        Some("traces") => read(&headers, &body).map(|request| received.take_traces(request)),
        Some("metrics") => read(&headers, &body).map(|request| received.take_metrics(request)),
        _ => Err(format!("expected a path that ends with /v1/traces or /v1/metrics, found /{path}")),
    };
    match taken {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(error) => {
            received.refused.push(error.clone());
            (StatusCode::BAD_REQUEST, error)
        }
    }
}

fn read<T: Message + Default + DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, String> {
    let is_json =
        headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    match is_json {
        true => serde_json::from_slice(body).map_err(|error| error.to_string()),
        false => T::decode(body.clone()).map_err(|error| error.to_string()),
    }
}

async fn show(State(received): State<Arc<Mutex<Received>>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], lock(&received).to_text())
}

impl Received {
    fn take_traces(&mut self, request: ExportTraceServiceRequest) {
        for sent in request.resource_spans {
            let of = labels_of(sent.resource);
            let spans = sent.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.extend(spans.map(|span| (of.clone(), span)));
        }
    }

    fn take_metrics(&mut self, request: ExportMetricsServiceRequest) {
        for sent in request.resource_metrics {
            let of = labels_of(sent.resource);
            if !self.resources.contains(&of) {
                self.resources.push(of);
            }
            for metric in sent.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let (name, points) = match metric.data {
                    Some(Data::Gauge(gauge)) => (metric.name, gauge.data_points),
                    Some(Data::Sum(sum)) if sum.is_monotonic => {
                        (format!("{}_total", metric.name), sum.data_points)
                    }
                    Some(Data::Sum(sum)) => (metric.name, sum.data_points),
                    _ => continue,
                };
                let series = self.metrics.entry(plain(&name)).or_default();
                for point in points {
                    let value = match point.value {
                        Some(number_data_point::Value::AsDouble(value)) => value,
                        Some(number_data_point::Value::AsInt(value)) => value as f64,
                        None => continue,
                    };
                    series.insert(labels(point.attributes), value);
                }
            }
        }
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, series) in &self.metrics {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            _ = writeln!(text, "# TYPE {name} {kind}");
            for (labels, value) in series {
                let label = |(label, value): (&String, &String)| format!("{}={value:?}", plain(label));
                let labels: Vec<_> = labels.iter().map(label).collect();
                _ = writeln!(text, "{name}{{{}}} {value}", labels.join(","));
            }
        }
        text
    }
}

/// A name as Prometheus can have it.
fn plain(name: &str) -> String {
    name.replace(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_', "_")
}

fn labels_of(resource: Option<Resource>) -> Labels {
    labels(resource.map(|resource| resource.attributes).unwrap_or_default())
}

/// Attributes as texts.
#[must_use]
pub fn labels(attributes: Vec<KeyValue>) -> Labels {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |KeyValue { key, value, .. }| Some((key, text(value?.value?)));
    attributes.into_iter().filter_map(pair).collect()
}
