//! Nodes log what they should, and not what they should not.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;

use super::Expectation;
use crate::context::RunContext;
use crate::deployer::LogPart;
use crate::failure::{Failure, FailureClass, Problem};
use crate::scenario::Outline;
use crate::wait::pause;

/// A regular expression matches at least or at most so many lines that given nodes log during the run, all
/// of them together.
///
/// Fails as soon as there are too many. A run that ends when it is satisfied goes on until there are enough.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::fake::{self, FakeDeployer, FakeProgram, Fault};
/// # use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
/// use logos_scenario::LogPattern;
///
/// fake::in_no_time(async {
///     let scenario = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 0))
///         .with_program(FakeProgram)
///         .with_expectation(LogPattern::new("panicked").in_nodes(["validator-1"]).at_most(0))
///         .with_run_duration(Duration::from_secs(60))
///         .build()?;
///     FakeDeployer::default().run(&scenario).await?;
///
///     let faulty = FakeDeployer::default().with_fault("validator-1", 5, Fault::Panic);
///     let failed = faulty.run(&scenario).await.expect_err("it panics");
///     assert!(failed.to_string().contains("LogPattern `panicked` failed (product)"));
///     Ok(())
/// });
/// ```
#[derive(Clone, Debug)]
pub struct LogPattern {
    name: String,
    pattern: String,
    nodes: Vec<String>,
    at_least: Option<usize>,
    at_most: Option<usize>,
}

/// Matching lines that a message shows.
const SHOWN: usize = 5;
/// Between two looks at the logs.
const EVERY: Duration = Duration::from_secs(1);

/// What was found so far.
#[derive(Default)]
struct Found {
    lines: usize,
    shown: Vec<String>,
    /// Of each node the line that is not written whole yet.
    unfinished: BTreeMap<String, String>,
}

impl Found {
    /// Looks at the lines of a text that goes on where the one before ended.
    fn read(&mut self, pattern: &Regex, node: &str, text: &str) {
        let unfinished = self.unfinished.entry(node.to_owned()).or_default();
        let text = std::mem::take(unfinished) + text;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text[whole..].clone_into(unfinished);
        self.count(pattern, node, &text[..whole]);
    }

    /// Looks at what no line end follows, since no more will.
    fn end(&mut self, pattern: &Regex) {
        for (node, text) in std::mem::take(&mut self.unfinished) {
            self.count(pattern, &node, &text);
        }
    }

    fn count(&mut self, pattern: &Regex, node: &str, text: &str) {
        for line in text.lines().filter(|line| pattern.is_match(line)) {
            self.lines += 1;
            if self.shown.len() < SHOWN {
                self.shown.push(format!("{node}: {line}"));
            }
        }
    }
}

impl LogPattern {
    /// Looks for lines that match; in the syntax of the `regex` crate.
    #[must_use]
    pub fn new(pattern: impl Into<String>) -> Self {
        let pattern = pattern.into();
        let name = format!("LogPattern `{pattern}`");
        Self { name, pattern, nodes: Vec::new(), at_least: None, at_most: None }
    }

    /// Looks at the logs of these nodes only.
    #[must_use]
    pub fn in_nodes<N: Into<String>>(mut self, nodes: impl IntoIterator<Item = N>) -> Self {
        self.nodes = nodes.into_iter().map(Into::into).collect();
        self
    }

    /// Wants so many lines or more.
    #[must_use]
    pub fn at_least(mut self, lines: usize) -> Self {
        self.at_least = Some(lines);
        self
    }

    /// Wants so many lines or fewer.
    #[must_use]
    pub fn at_most(mut self, lines: usize) -> Self {
        self.at_most = Some(lines);
        self
    }

    fn looks_at(&self, node: &str) -> bool {
        self.nodes.is_empty() || self.nodes.iter().any(|name| name == node)
    }

    fn unreadable(&self, node: &str, error: &impl ToString) -> Failure {
        Failure::new(FailureClass::Infrastructure, &self.name)
            .expected(format!("the log of {node} to be readable"))
            .seen(error.to_string())
    }

    fn failure(&self, cx: &RunContext, bound: &str, found: Found, nodes: &BTreeMap<String, u64>) -> Failure {
        let failure = Failure::new(FailureClass::Product, &self.name)
            .expected(format!("{bound} lines that match"))
            .seen(format!("{} lines", found.lines))
            .seen_all(found.shown);
        nodes.keys().fold(failure, |failure, node| failure.look(cx.log_place(node)))
    }
}

impl Expectation for LogPattern {
    /// Bytes of each node's log before the workloads started.
    type Baseline = BTreeMap<String, u64>;

    fn name(&self) -> &str {
        &self.name
    }

    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |what: String, try_next: &str| {
            problems.push(Problem::new(&self.name, what, try_next));
        };
        if let Err(error) = Regex::new(&self.pattern) {
            problem(format!("is no regular expression: {error}"), "see the syntax of the `regex` crate");
        }
        if self.at_least.is_none() && self.at_most.is_none() {
            problem(
                "has no bound, so it would prove nothing".to_owned(),
                "add `.at_least(1)` or `.at_most(0)`",
            );
        }
        if let (Some(least), Some(most)) = (self.at_least, self.at_most)
            && least > most
        {
            problem(
                format!("no log has at least {least} and at most {most} lines that match"),
                "let `at_least` be no more than `at_most`",
            );
        }
        let names: Vec<_> = outline.topology.nodes().iter().map(|node| node.name.as_str()).collect();
        for unknown in self.nodes.iter().filter(|node| !names.contains(&node.as_str())) {
            problem(format!("names `{unknown}`; there are {}", names.join(", ")), "name one of these");
        }
        problems
    }

    fn awaited(&self) -> bool {
        self.at_least.is_some()
    }

    async fn capture(&self, cx: &RunContext) -> Result<BTreeMap<String, u64>, Failure> {
        let mut lengths = BTreeMap::new();
        for node in cx.topology().nodes().iter().filter(|node| self.looks_at(&node.name)) {
            let log = cx.node_log_part(&node.name, LogPart::From(0)).await;
            let log = log.map_err(|error| self.unreadable(&node.name, &error))?;
            lengths.insert(node.name.clone(), log.end);
        }
        Ok(lengths)
    }

    async fn judge(&self, cx: &RunContext, mut ends: BTreeMap<String, u64>) -> Result<(), Failure> {
        let pattern = Regex::new(&self.pattern).expect("a scenario with a bad pattern cannot be built");
        let mut found = Found::default();
        loop {
            let over = tokio::select! {
                biased;
                () = cx.settled() => true,
                // The logs of a run that is judged again are all there at its end.
                () = pause(EVERY), if cx.recording().is_none() => false,
            };
            for (node, end) in &mut ends {
                match cx.node_log_part(node, LogPart::From(*end)).await {
                    Ok(log) => {
                        *end = log.end;
                        found.read(&pattern, node, &log.text);
                    }
                    Err(error) if over => return Err(self.unreadable(node, &error)),
                    // Who cannot be read now may be later.
                    Err(_) => {}
                }
            }
            if over {
                found.end(&pattern);
            }
            let few = self.at_least.filter(|least| found.lines < *least);
            let many = self.at_most.filter(|most| found.lines > *most);
            match (few, many) {
                (_, Some(most)) => return Err(self.failure(cx, &format!("at most {most}"), found, &ends)),
                (Some(least), _) if over => {
                    return Err(self.failure(cx, &format!("at least {least}"), found, &ends));
                }
                (None, None) if over => return Ok(()),
                (None, None) => cx.satisfied(Expectation::name(self)),
                (Some(_), None) => {}
            }
        }
    }
}
