//! A metric is within bounds.

use super::Expectation;
use crate::context::RunContext;
use crate::failure::{Failure, FailureClass, Problem};
use crate::scenario::Outline;
use crate::telemetry::{QueryError, Sample};

/// The value of a PromQL expression is within bounds when the run has settled, for every series that it has.
///
/// It is asked of the Prometheus that `NOMOS_METRICS_QUERY_URL` or
/// [`with_metrics_query_url`](crate::ScenarioBuilder::with_metrics_query_url) names. That knows what nodes said when it
/// asked them last: an expression over what changes quickly is best one over a range, such as
/// `max_over_time(devnode_mempool_transactions[1m])`.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
/// use logos_scenario::MetricThreshold;
///
/// let scenario = ScenarioBuilder::with_topology(Topology::single())
/// #   .with_program(FakeProgram)
///     .with_metrics_query_url("http://127.0.0.1:9090")
///     .with_expectation(MetricThreshold::new("max_over_time(devnode_mempool_transactions[1m])").at_most(500.0))
///     .with_run_duration(Duration::from_secs(60))
///     .build();
/// # assert!(scenario.is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct MetricThreshold {
    name: String,
    query: String,
    at_least: Option<f64>,
    at_most: Option<f64>,
}

impl MetricThreshold {
    /// Looks at the value of a PromQL expression, an instant vector or a scalar.
    #[must_use]
    pub fn new(query: impl Into<String>) -> Self {
        let query = query.into();
        Self { name: format!("MetricThreshold `{query}`"), query, at_least: None, at_most: None }
    }

    /// Wants so much or more.
    #[must_use]
    pub fn at_least(mut self, value: f64) -> Self {
        self.at_least = Some(value);
        self
    }

    /// Wants so much or less.
    #[must_use]
    pub fn at_most(mut self, value: f64) -> Self {
        self.at_most = Some(value);
        self
    }

    fn holds(&self, Sample { value, .. }: &Sample) -> bool {
        // A value that is no number is within no bounds.
        self.at_least.is_none_or(|least| *value >= least) && self.at_most.is_none_or(|most| *value <= most)
    }

    async fn ask(&self, cx: &RunContext) -> Result<Vec<Sample>, Failure> {
        let prometheus =
            cx.telemetry().prometheus().expect("a scenario without a metrics URL cannot be built");
        prometheus.instant(&self.query).await.map_err(|error| {
            let (class, try_next) = match &error {
                QueryError::Refused { .. } => (FailureClass::Test, "try the query in Prometheus' own page"),
                QueryError::Unreachable { .. } | QueryError::Foreign { .. } => (
                    FailureClass::Infrastructure,
                    "see that NOMOS_METRICS_QUERY_URL, or `with_metrics_query_url`, is the base URL of a Prometheus: `http://127.0.0.1:9090`",
                ),
            };
            Failure::new(class, &self.name)
                .expected(format!("a Prometheus to evaluate `{}`", self.query))
                .seen(format!("{:#}", anyhow::Error::from(error)))
                .try_next(try_next)
        })
    }
}

impl Expectation for MetricThreshold {
    type Baseline = ();

    fn name(&self) -> &str {
        &self.name
    }

    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.at_least.is_none() && self.at_most.is_none() {
            problems.push(Problem::new(
                &self.name,
                "has no bound, so it would prove nothing",
                "add `.at_least(1.0)` or `.at_most(0.0)`",
            ));
        }
        let (least, most) = (self.at_least, self.at_most);
        if least.into_iter().chain(most).any(f64::is_nan)
            || least.zip(most).is_some_and(|(least, most)| least > most)
        {
            problems.push(Problem::new(
                &self.name,
                format!("no value is at least {} and at most {}", shown(least), shown(most)),
                "let `at_least` be no more than `at_most`, and both numbers",
            ));
        }
        if !outline.has_metrics {
            problems.push(Problem::new(
                &self.name,
                "there is no Prometheus to ask",
                "set NOMOS_METRICS_QUERY_URL=http://127.0.0.1:9090, or give `.with_metrics_query_url(…)`",
            ));
        }
        problems
    }

    fn awaited(&self) -> bool {
        false
    }

    /// Whether there is an answer shows here; that it has no series yet is no error.
    async fn capture(&self, cx: &RunContext) -> Result<(), Failure> {
        self.ask(cx).await.map(drop)
    }

    async fn judge(&self, cx: &RunContext, (): ()) -> Result<(), Failure> {
        cx.settled().await;
        let samples = self.ask(cx).await?;
        let failing: Vec<_> = samples.iter().filter(|sample| !self.holds(sample)).map(describe).collect();
        if failing.is_empty() && !samples.is_empty() {
            return Ok(());
        }
        let least = self.at_least.map(|least| format!("at least {least}"));
        let most = self.at_most.map(|most| format!("at most {most}"));
        let bounds = least.into_iter().chain(most).collect::<Vec<_>>().join(" and ");
        let failure = Failure::new(
            if samples.is_empty() { FailureClass::Test } else { FailureClass::Product },
            &self.name,
        )
        .expected(format!("`{}` to be {bounds}", self.query));
        Err(match samples.len() {
            0 => failure
                .seen("it has no series")
                .because("what has no value proves nothing")
                .try_next("see that Prometheus scrapes the nodes, and how they call the metric"),
            all => failure
                .seen(format!("{} of {all} series are not", failing.len()))
                .seen_all(failing.into_iter().take(SHOWN)),
        })
    }
}

fn shown(bound: Option<f64>) -> String {
    bound.map_or_else(|| "anything".to_owned(), |bound| bound.to_string())
}

/// Series that a message shows.
const SHOWN: usize = 5;

fn describe(Sample { labels, value }: &Sample) -> String {
    let labels = labels.iter().map(|(name, value)| format!("{name}={value:?}"));
    format!("{{{}}} {value}", labels.collect::<Vec<_>>().join(", "))
}
