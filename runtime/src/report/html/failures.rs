//! What failed, the causes before their consequences.

use maud::{Markup, html};

use crate::failure::{Failure, index};
use crate::report::Record;

/// Bytes from which on what was seen of a failure is folded.
const SEEN: usize = 900;

/// The first failure in a sentence: what failed, and why as far as that is known.
pub(super) fn headline(record: &Record) -> Option<String> {
    let first = record.failures.first()?;
    let why = first.details.because.as_ref().or_else(|| first.details.seen.first())?;
    let why: Vec<_> = why.lines().take(2).collect();
    Some(format!("{}: {}", first.subject, why.join(" ")))
}

/// All failures of a run; what others explain is folded.
pub(super) fn all(record: &Record) -> Markup {
    let (consequences, causes): (Vec<_>, Vec<_>) =
        record.failures.iter().partition(|failure| !failure.details.consequence_of.is_empty());
    html! {
        @if !record.failures.is_empty() {
            section #failed {
                h2 { "What failed" }
                @for failure in causes { (failed(failure)) }
                @for failure in consequences {
                    details {
                        summary { (failure.subject) " failed, too, as " (failure.details.consequence_of.join(", ")) " explains" }
                        (failed(failure))
                    }
                }
            }
        }
    }
}

fn failed(failure: &Failure) -> Markup {
    let details = &failure.details;
    let mut before = 0;
    let is_shown = |text: &&String| {
        before += text.len();
        before - text.len() < SEEN
    };
    let shown = details.seen.iter().take_while(is_shown);
    let (first, rest) = details.seen.split_at(shown.count());
    html! {
        article .failure {
            h3 { (failure.subject) " " span .class { (failure.class) " " (index::code(failure)) } }
            @if let Some(because) = &details.because { p .because { (because) } }
            dl {
                @if let Some(expected) = &details.expected { dt { "expected" } dd { (expected) } }
                @if !details.seen.is_empty() {
                    dt { "seen" }
                    dd {
                        (seen(first))
                        @if !rest.is_empty() { details { summary { (rest.len()) " more" } (seen(rest)) } }
                    }
                }
                @if !details.look.is_empty() {
                    dt { "look at" }
                    dd { @for place in &details.look { code { (place) } br; } }
                }
                @if let Some(what) = &details.try_next { dt { "try" } dd { (what) } }
            }
        }
    }
}

fn seen(texts: &[String]) -> Markup {
    html! { ul .seen { @for text in texts { li { (text) } } } }
}
