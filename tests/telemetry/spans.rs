//! Looks into traces that a collector has got.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use logos_scenario_tests::collector::{Received, labels};
use opentelemetry_proto::tonic::trace::v1::Span;

/// All spans of a collector.
#[derive(Clone, Copy)]
pub(crate) struct Traces<'a>(pub(crate) &'a Received);

impl<'a> Traces<'a> {
    /// The span of all of a case's one run.
    pub(crate) fn run(self, case: &str) -> anyhow::Result<&'a Span> {
        let mut runs = self.0.spans.iter().map(|(_, span)| span).filter(|span| span.name == case);
        let run = runs.next().with_context(|| format!("no trace of {case}"))?;
        ensure!(run.parent_span_id.is_empty() && runs.next().is_none(), "{case} has one trace");
        Ok(run)
    }

    fn of(self, run: &'a Span) -> impl Iterator<Item = &'a (logos_scenario_tests::collector::Labels, Span)> {
        self.0.spans.iter().filter(|(_, span)| span.trace_id == run.trace_id)
    }

    /// A part of a run by its name.
    pub(crate) fn part(self, run: &'a Span, name: &str) -> Option<&'a Span> {
        self.of(run).map(|(_, span)| span).find(|span| span.name == name)
    }

    /// What parts a run has.
    pub(crate) fn names(self, run: &'a Span) -> BTreeSet<&'a str> {
        self.of(run).map(|(_, span)| span.name.as_str()).collect()
    }

    /// The nodes that have spans of this name under that of a run.
    pub(crate) fn nodes_with(self, run: &'a Span, name: &str) -> BTreeSet<&'a str> {
        let under = self.of(run).filter(|(_, span)| span.parent_span_id == run.span_id && span.name == name);
        under.filter_map(|(of, _)| of.get("scenario.node").map(String::as_str)).collect()
    }

    /// An attribute of a span.
    pub(crate) fn attribute(self, span: &Span, name: &str) -> Option<String> {
        labels(span.attributes.clone()).remove(name)
    }
}
