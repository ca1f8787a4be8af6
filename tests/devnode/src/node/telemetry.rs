//! What a node tells of itself by OTLP, where the environment says where to: spans of blocks, transactions and blobs,
//! and the [`metrics`](super::metrics). Where it does not, nothing is made and nobody is connected to.
//!
//! All nodes' spans of one block are one trace, as are those of a transaction and those of a blob, since the trace has
//! the first half of its id: who looks at a block sees when each node had it. With `TRACEPARENT` all of a node's spans are in
//! that trace instead.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};
use reqwest::Url;
use reqwest::blocking::Client;

use super::metrics::METRICS;
use super::process::Environment;
use super::state::Shared;
use crate::chain::Applied;
use crate::config::{Role, Settings};
use crate::wire::{BlobId, Block, TransactionId};

/// How often metrics are sent, and spans at the latest.
const EVERY: Duration = Duration::from_secs(1);
/// How long a request may take, and how long the node's end waits for the last one.
const WITHIN: Duration = Duration::from_secs(1);

/// What sends spans and metrics, each where it was asked for.
pub(super) struct Exporters {
    spans: Spans,
    metrics: Option<SdkMeterProvider>,
    /// What metrics are labelled with.
    labels: Vec<KeyValue>,
}

impl Exporters {
    /// Made before there is an asynchronous runtime, which a blocking client could not be in.
    pub(super) fn new(settings: &Settings, environment: &Environment) -> Result<Self, String> {
        let mut exporters = Self { spans: Spans(None), metrics: None, labels: Vec::new() };
        if environment.traces.is_none() && environment.metrics.is_none() {
            return Ok(exporters);
        }
        let client =
            Client::builder().timeout(WITHIN).no_proxy().build().map_err(|error| error.to_string())?;
        let role = match settings.role {
            Role::Validator => "validator",
            Role::Executor => "executor",
        };
        // What `OTEL_RESOURCE_ATTRIBUTES` says is read by the builder, and goes before.
        let own = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", "devnode"),
            KeyValue::new("service.instance.id", settings.name.clone()),
            KeyValue::new("scenario.node", settings.name.clone()),
            KeyValue::new("scenario.role", role),
        ]);
        let resource =
            own.with_detector(Box::new(opentelemetry_sdk::resource::EnvResourceDetector::new())).build();
        if let Some((name, text)) = &environment.traces {
            let exporter = SpanExporter::builder()
                .with_http()
                .with_http_client(client.clone())
                .with_endpoint(endpoint(name, text, "/v1/traces")?)
                .with_timeout(WITHIN)
                .build()
                .map_err(|error| format!("{name}: {error}"))?;
            let batches = BatchConfigBuilder::default().with_scheduled_delay(EVERY).build();
            let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
            processor.set_resource(&resource);
            let under = environment.traceparent.as_deref().map(parent).transpose()?;
            let (start, slot) = (settings.start_time, settings.slot);
            let scope = InstrumentationScope::builder("devnode").build();
            exporters.spans = Spans(Some(Arc::new(Sending { processor, under, scope, start, slot })));
        }
        if let Some((name, text)) = &environment.metrics {
            let exporter = MetricExporter::builder()
                .with_http()
                .with_http_client(client)
                .with_endpoint(endpoint(name, text, "/v1/metrics")?)
                .with_timeout(WITHIN)
                .build()
                .map_err(|error| format!("{name}: {error}"))?;
            let reader = PeriodicReader::builder(exporter).with_interval(EVERY).build();
            let labels = resource.iter().filter(|(key, _)| !key.as_str().starts_with("service."));
            exporters.labels = labels.map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
            exporters.metrics =
                Some(SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build());
        }
        Ok(exporters)
    }

    pub(super) fn spans(&self) -> Spans {
        self.spans.clone()
    }

    /// Sends the metrics of a node from now on, under the names that `/metrics` has.
    pub(super) fn tell_metrics(&self, state: &Shared) {
        let Some(provider) = &self.metrics else { return };
        let meter = provider.meter("devnode");
        for (name, kind, help, value) in METRICS {
            let (state, labels) = (state.clone(), self.labels.clone());
            if kind == "counter" {
                // Who makes Prometheus' names of OTLP's adds the end.
                let name = name.trim_end_matches("_total");
                let counter = meter.u64_observable_counter(name).with_description(help);
                counter.with_callback(move |seen| seen.observe(value(&state.lock()), &labels)).build();
            } else {
                let gauge = meter.u64_observable_gauge(name).with_description(help);
                gauge.with_callback(move |seen| seen.observe(value(&state.lock()), &labels)).build();
            }
        }
    }

    /// Sends what is left, unless that takes long.
    pub(super) fn close(&self) {
        if let Some(sending) = &self.spans.0 {
            // Whoever takes no spans had its warnings.
            let _ = sending.processor.shutdown_with_timeout(WITHIN);
        }
        if let Some(provider) = &self.metrics {
            let _ = provider.shutdown_with_timeout(WITHIN);
        }
    }
}

/// A URL as it was given, with the usual path where it has none.
fn endpoint(name: &str, text: &str, path: &str) -> Result<String, String> {
    let expected =
        |why: &str| format!("{name}: expected a URL such as http://127.0.0.1:4318, found `{text}`{why}");
    let mut url = Url::parse(text).map_err(|error| expected(&format!(" ({error})")))?;
    if url.scheme() != "http" || !url.has_host() {
        return Err(expected(""));
    }
    if url.path() == "/" {
        url.set_path(path);
    }
    Ok(url.into())
}

/// The span that a `traceparent` tells of.
fn parent(text: &str) -> Result<(TraceId, SpanId), String> {
    let parts: Vec<_> = text.split('-').collect();
    let ids = match parts[..] {
        [_, trace, span, _] => TraceId::from_hex(trace).ok().zip(SpanId::from_hex(span).ok()),
        _ => None,
    };
    ids.ok_or_else(|| format!("TRACEPARENT: expected `00-<32 digits>-<16 digits>-01`, found `{text}`"))
}

/// Where spans go, if they go anywhere. Clones are one and the same.
#[derive(Clone, Default)]
pub(super) struct Spans(Option<Arc<Sending>>);

struct Sending {
    processor: BatchSpanProcessor,
    /// In what trace all spans are, and under which span.
    under: Option<(TraceId, SpanId)>,
    scope: InstrumentationScope,
    /// When slot 0 began.
    start: SystemTime,
    slot: Duration,
}

impl Spans {
    /// A block was `made` or `applied` here: from the beginning of its slot.
    pub(super) fn block(&self, how: &str, block: &Block, applied: &Applied) {
        let Some(sending) = &self.0 else { return };
        let header = &block.header;
        let slots = u32::try_from(header.slot).unwrap_or(u32::MAX);
        let name = if how == "made" { "block proposed" } else { "block applied" };
        let id = block.id();
        let attributes = vec![
            KeyValue::new("block.id", id.to_string()),
            KeyValue::new("block.height", signed(applied.height)),
            KeyValue::new("block.slot", signed(header.slot)),
            KeyValue::new("block.transactions", signed(block.transactions.len() as u64)),
            KeyValue::new("block.is_tip", applied.is_tip),
            KeyValue::new("block.abandoned", signed(applied.abandoned.len() as u64)),
        ];
        sending.tell(name, &id.0, sending.start + sending.slot * slots, attributes);
    }

    /// A transaction became pending.
    pub(super) fn pooled(&self, how: &'static str, id: &TransactionId, began: SystemTime) {
        let Some(sending) = &self.0 else { return };
        let attributes =
            vec![KeyValue::new("transaction.id", id.to_string()), KeyValue::new("transaction.came", how)];
        sending.tell("transaction pooled", &id.0, began, attributes);
    }

    /// A blob was spread over the members and published.
    pub(super) fn dispersed(&self, blob: &BlobId, began: SystemTime, bytes: usize) {
        let Some(sending) = &self.0 else { return };
        let attributes = vec![
            KeyValue::new("blob.id", blob.to_string()),
            KeyValue::new("blob.bytes", signed(bytes as u64)),
        ];
        sending.tell("blob dispersed", &blob.0, began, attributes);
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Sending {
    /// Something that began ends now.
    fn tell(&self, name: &'static str, about: &[u8; 32], began: SystemTime, attributes: Vec<KeyValue>) {
        let half = about.first_chunk().copied().expect("an id has two halves");
        let (trace, parent) = self.under.unwrap_or((TraceId::from_bytes(half), SpanId::INVALID));
        let now = SystemTime::now();
        let id = SpanId::from(rand::random::<u64>());
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: parent,
            parent_span_is_remote: true,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: began.min(now),
            end_time: now,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_get_the_usual_path_where_they_have_none() {
        let of = |text| endpoint("NAME", text, "/v1/traces");
        assert_eq!(of("http://127.0.0.1:4318").unwrap(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(of("http://host:9090/api/v1/otlp").unwrap(), "http://host:9090/api/v1/otlp");
        for bad in ["127.0.0.1:4318", "localhost:4318", "https://host", ""] {
            let error = of(bad).unwrap_err();
            assert!(
                error.starts_with("NAME: expected a URL such as http://127.0.0.1:4318, found"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_traceparent_has_a_trace_and_a_span() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let (trace, span) = parent(text).unwrap();
        assert_eq!((trace.to_string(), span.to_string()), (text[3..35].to_owned(), text[36..52].to_owned()));
        assert!(parent("00-0af7-b7-01").is_err() || parent("nothing").is_err());
    }
}
