//! What is measured of the nodes by others, and can be asked for: metrics in a Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::env::{METRICS_URL, http_url};
use crate::failure::Problem;
use crate::replay::Recording;

pub(crate) mod export;
pub(crate) mod grafana;
pub(crate) mod identity;

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

/// The values of one series over a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// Its labels, `__name__` among them; none of a scalar.
    pub labels: BTreeMap<String, String>,
    /// Each moment at which there is a value, in their order.
    pub values: Vec<(SystemTime, f64)>,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    Matrix(Vec<Values>),
    #[serde(untagged)]
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

#[derive(Deserialize)]
struct Values {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How much of a strange answer a message shows.
const SHOWN: usize = 200;

impl Prometheus {
    /// The one at a base URL, such as `http://127.0.0.1:9090`.
    ///
    /// # Errors
    ///
    /// It is no URL of something that answers HTTP.
    pub fn new(base_url: &str) -> Result<Self, Problem> {
        let bad =
            |expected| Problem::new("base_url", format!("`{base_url}`, expected {expected}"), METRICS_URL);
        http_url(base_url).map(Self::at).map_err(bad)
    }

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
        let asked = Asked { url: self.path("api/v1/query"), query };
        match self.ask(&asked, &[]).await? {
            Data::Vector(series) => {
                let sample = |Series { metric: labels, value: (_, value) }| {
                    Ok(Sample { labels, value: asked.number(&value)? })
                };
                series.into_iter().map(sample).collect()
            }
            Data::Scalar((_, value)) => {
                Ok(vec![Sample { labels: BTreeMap::new(), value: asked.number(&value)? }])
            }
            Data::Matrix(_) | Data::Other(_) => {
                Err(asked.refused("its value is neither a scalar nor an instant vector"))
            }
        }
    }

    /// Evaluates a PromQL expression at every `step` from one moment to another: the values of each series.
    ///
    /// ```no_run
    /// # async fn look(run: &logos_scenario_runtime::RunContext) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::{Duration, SystemTime};
    ///
    /// let prometheus = run.telemetry().prometheus().ok_or("NOMOS_METRICS_QUERY_URL is not set")?;
    /// let (now, minute) = (SystemTime::now(), Duration::from_secs(60));
    /// for node in prometheus.range("devnode_height", now - minute..now, Duration::from_secs(1)).await? {
    ///     println!("{}: {:?}", node.labels["scenario_node"], node.values.last());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`instant`](Self::instant), but for what has a value at a moment. Prometheus refuses more than 11,000
    /// steps, and those of no length.
    pub async fn range(
        &self,
        query: &str,
        within: std::ops::Range<SystemTime>,
        step: Duration,
    ) -> Result<Vec<Range>, QueryError> {
        let asked = Asked { url: self.path("api/v1/query_range"), query };
        let seconds = |time: SystemTime| since_epoch(time).as_secs_f64().to_string();
        let parameters = [
            ("start", seconds(within.start)),
            ("end", seconds(within.end)),
            ("step", step.as_secs_f64().to_string()),
        ];
        let Data::Matrix(series) = self.ask(&asked, &parameters).await? else {
            return Err(asked.refused("its value has no range"));
        };
        let range = |Values { metric: labels, values }| {
            let value = |(second, value): &(f64, String)| {
                let time = Duration::try_from_secs_f64(*second).unwrap_or_default();
                Ok((UNIX_EPOCH + time, asked.number(value)?))
            };
            Ok(Range { labels, values: values.iter().map(value).collect::<Result<_, _>>()? })
        };
        series.into_iter().map(range).collect()
    }

    fn path(&self, path: &str) -> Url {
        self.base_url.join(path).expect("a base URL can be extended")
    }

    async fn ask(&self, asked: &Asked<'_>, parameters: &[(&str, String)]) -> Result<Data, QueryError> {
        let mut url = asked.url.clone();
        if let Some(recording) = &self.recording {
            recording.lacks(format!("the metrics of `{}` are in no file", asked.query));
            return Err(asked.refused("the run is over"));
        }
        url.query_pairs_mut().append_pair("query", asked.query).extend_pairs(parameters);
        let unreachable = |source| QueryError::Unreachable { url: asked.url.to_string(), source };
        let reply = self.http.get(url).timeout(WITHIN).send().await.map_err(unreachable)?;
        let status = reply.status().as_u16();
        let body = reply.text().await.map_err(unreachable)?;
        match serde_json::from_str(&body) {
            Ok(Answer::Success { data }) => Ok(data),
            Ok(Answer::Error { error }) => Err(asked.refused(&error)),
            Err(_) => Err(QueryError::Foreign {
                url: asked.url.to_string(),
                status,
                said: body.chars().take(SHOWN).collect(),
            }),
        }
    }
}

/// What was asked, for what is said of it.
struct Asked<'a> {
    url: Url,
    query: &'a str,
}

impl Asked<'_> {
    fn refused(&self, said: &str) -> QueryError {
        QueryError::Refused { url: self.url.to_string(), query: self.query.to_owned(), said: said.to_owned() }
    }

    fn number(&self, text: &str) -> Result<f64, QueryError> {
        text.parse().map_err(|_| self.refused(&format!("`{text}` is no number")))
    }
}

/// A path below a base URL, whether that ends with a slash or not.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
