//! Nodes log what they should, and not what they should not.

use std::collections::BTreeMap;

use regex::Regex;

use super::Expectation;
use crate::context::RunContext;
use crate::deployer::LogPart;
use crate::failure::{Failure, FailureClass, Problem};
use crate::scenario::Outline;

/// A regular expression matches at least or at most so many lines that given nodes log during the run, all
/// of them together.
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
        let names: Vec<_> = outline.topology.nodes().iter().map(|node| node.name.as_str()).collect();
        for unknown in self.nodes.iter().filter(|node| !names.contains(&node.as_str())) {
            problem(format!("names `{unknown}`; there are {}", names.join(", ")), "name one of these");
        }
        problems
    }

    fn awaited(&self) -> bool {
        false
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

    async fn judge(&self, cx: &RunContext, lengths: BTreeMap<String, u64>) -> Result<(), Failure> {
        cx.settled().await;
        let pattern = Regex::new(&self.pattern).expect("a scenario with a bad pattern cannot be built");
        let mut found = Vec::new();
        for (node, length) in &lengths {
            let log = cx.node_log_part(node, LogPart::From(*length)).await;
            let log = log.map_err(|error| self.unreadable(node, &error))?;
            let lines = log.text.lines().filter(|line| pattern.is_match(line));
            found.extend(lines.map(|line| format!("{node}: {line}")));
        }
        let few = self.at_least.filter(|least| found.len() < *least).map(|least| format!("at least {least}"));
        let many = self.at_most.filter(|most| found.len() > *most).map(|most| format!("at most {most}"));
        let Some(expected) = few.or(many) else { return Ok(()) };
        let failure = Failure::new(FailureClass::Product, &self.name)
            .expected(format!("{expected} lines that match"))
            .seen(format!("{} lines", found.len()))
            .seen_all(found.into_iter().take(SHOWN));
        Err(lengths.keys().fold(failure, |failure, node| failure.look(cx.log_place(node))))
    }
}
