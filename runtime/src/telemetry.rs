//! What is measured of the nodes by others, and can be asked for: metrics in a Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::replay::Recording;

/// Where measurements are.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    prometheus: Option<Prometheus>,
}

impl Telemetry {
    pub(crate) fn new(metrics_query_url: Option<Url>, recording: Option<&Arc<Recording>>) -> Self {
        let prometheus = metrics_query_url.map(Prometheus::at);
        Self { prometheus: prometheus.map(|it| Prometheus { recording: recording.cloned(), ..it }) }
    }

    /// The Prometheus that has the nodes' metrics, where `NOMOS_METRICS_QUERY_URL` or the scenario names one.
    #[must_use]
    pub fn prometheus(&self) -> Option<&Prometheus> {
        self.prometheus.as_ref()
    }
}

/// A Prometheus, or something that speaks its HTTP API.
#[derive(Clone)]
pub struct Prometheus {
    base_url: Url,
    http: Client,
    /// The run that is over, whose metrics are no longer those of now.
    recording: Option<Arc<Recording>>,
}

impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prometheus at {}", self.base_url)
    }
}

/// The value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels, `__name__` among them; none of a scalar.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Nobody answered.
    #[error("{url} does not answer")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It answered that the query is wrong.
    #[error("{url} refuses the query `{query}`: {said}")]
    Refused {
        /// What was asked.
        url: String,
        /// The query.
        query: String,
        /// What it said.
        said: String,
    },
    /// What answered is no Prometheus.
    #[error("{url} answers with {status}, and not as a Prometheus does: {said}")]
    Foreign {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        said: String,
    },
}

/// The HTTP API's envelope.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answer {
    Success { data: Data },
    Error { error: String },
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar((f64, String)),
    #[serde(untagged)]
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How much of a strange answer a message shows.
const SHOWN: usize = 200;

impl Prometheus {
    fn at(mut base_url: Url) -> Self {
        if !base_url.path().ends_with('/') {
            base_url.set_path(&format!("{}/", base_url.path()));
        }
        Self { base_url, http: Client::new(), recording: None }
    }

    /// Where it is; ends with a slash.
    #[must_use]
    pub fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// Evaluates a PromQL expression now: a value per series, or one without labels of a scalar.
    ///
    /// # Errors
    ///
    /// Nobody answers within 10 s, what answers is no Prometheus, or it refuses the query, such as one whose value is
    /// neither a scalar nor an instant vector.
    pub async fn instant(&self, query: &str) -> Result<Vec<Sample>, QueryError> {
        let mut url = self.base_url.join("api/v1/query").expect("a base URL can be extended");
        let place = url.to_string();
        if let Some(recording) = &self.recording {
            recording.lacks(format!("the metrics of `{query}` are in no file"));
            return Err(QueryError::Refused {
                url: place,
                query: query.to_owned(),
                said: "the run is over".to_owned(),
            });
        }
        url.query_pairs_mut().append_pair("query", query);
        let unreachable = |source| QueryError::Unreachable { url: place.clone(), source };
        let reply = self.http.get(url).timeout(WITHIN).send().await.map_err(unreachable)?;
        let status = reply.status().as_u16();
        let body = reply.text().await.map_err(unreachable)?;
        let refused = |said| QueryError::Refused { url: place.clone(), query: query.to_owned(), said };
        let number = |text: &str| text.parse().map_err(|_| refused(format!("`{text}` is no number")));
        match serde_json::from_str(&body) {
            Ok(Answer::Success { data: Data::Vector(series) }) => {
                let sample = |Series { metric: labels, value: (_, value) }| {
                    Ok(Sample { labels, value: number(&value)? })
                };
                series.into_iter().map(sample).collect()
            }
            Ok(Answer::Success { data: Data::Scalar((_, value)) }) => {
                Ok(vec![Sample { labels: BTreeMap::new(), value: number(&value)? }])
            }
            Ok(Answer::Success { data: Data::Other(_) }) => {
                Err(refused("its value is neither a scalar nor an instant vector".to_owned()))
            }
            Ok(Answer::Error { error }) => Err(refused(error)),
            Err(_) => {
                Err(QueryError::Foreign { url: place, status, said: body.chars().take(SHOWN).collect() })
            }
        }
    }
}
