//! Every kind of failure by its code.
//!
#![doc = include_str!("../../docs/failures.md")]

use super::{Failure, FailureClass};
use FailureClass::{Infrastructure, Product, Test};

const TEXT: &str = include_str!("../../docs/failures.md");

/// The code of each kind of failure, by its class and subject.
const CODES: &[(&str, FailureClass, &[&str])] = &[
    ("P01", Product, &["NoCrash"]),
    ("P02", Product, &["ConsensusLiveness"]),
    ("P03", Product, &["ChainAgreement"]),
    ("P04", Product, &["TransactionInclusion"]),
    ("P05", Product, &["TransactionLatency"]),
    ("P06", Product, &["BlobAvailability"]),
    ("P07", Product, &["Recovery"]),
    ("P08", Product, &["BlockInterval"]),
    ("P09", Product, &["LogPattern"]),
    ("P10", Product, &["MetricThreshold"]),
    ("P11", Product, &["ResourceUse"]),
    ("P12", Product, &["window"]),
    ("P13", Product, &["blobs"]),
    ("P00", Product, &[]),
    ("T01", Test, &["body"]),
    ("T02", Test, &["timeout"]),
    ("T03", Test, &["interrupt"]),
    ("T04", Test, &["node control", "faults"]),
    ("T05", Test, &["accounts"]),
    ("T06", Test, &["runner"]),
    ("T07", Test, &["chaos"]),
    ("T08", Test, &["transactions"]),
    ("T09", Test, &["TransactionLatency", "ResourceUse", "MetricThreshold"]),
    ("T00", Test, &[]),
    ("I01", Infrastructure, &["backend"]),
    ("I02", Infrastructure, &["deploy"]),
    ("I03", Infrastructure, &["ready"]),
    ("I04", Infrastructure, &["queue"]),
    ("I05", Infrastructure, &["keeper"]),
    ("I06", Infrastructure, &["release", "teardown"]),
    ("I07", Infrastructure, &["faults", "chaos"]),
    ("I08", Infrastructure, &["transactions", "accounts", "body"]),
    ("I09", Infrastructure, &["NoCrash", "LogPattern", "ResourceUse", "MetricThreshold", "BlobAvailability"]),
    ("I00", Infrastructure, &[]),
];

/// The code of a failure, which is that of its class where its subject has none of its own.
///
/// ```
/// # use logos_scenario_runtime::{Failure, FailureClass, failure::index};
/// let failure = Failure::new(FailureClass::Product, "ConsensusLiveness");
/// assert_eq!(index::code(&failure), "P02");
/// ```
#[must_use]
pub fn code(failure: &Failure) -> &'static str {
    let subject = failure.subject.strip_prefix("capture of ").unwrap_or(&failure.subject);
    // What follows is what this one looks for: "LogPattern `panic`".
    let kind = subject.split(" `").next().unwrap_or_default();
    let is_it = |subjects: &[&str]| subjects.is_empty() || subjects.contains(&kind);
    let mut codes = CODES.iter().filter(|(_, class, _)| *class == failure.class);
    codes.find(|(_, _, subjects)| is_it(subjects)).map_or("", |(code, ..)| *code)
}

/// The section of a code, as Markdown.
///
/// ```
/// # use logos_scenario_runtime::failure::index;
/// assert!(index::section("P02").is_some_and(|text| text.contains("Remedy: ")));
/// assert_eq!(index::section("P99"), None);
/// ```
#[must_use]
pub fn section(code: &str) -> Option<&'static str> {
    let mut sections = sections();
    sections.find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, text)| text)
}

/// All sections by their codes, in the order in which they are written.
pub fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    let texts = TEXT.split("\n## ").skip(1);
    texts.filter_map(|text| {
        let text = text.split("\n# ").next().unwrap_or(text).trim_end();
        Some((text.split_once(':')?.0, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_section_and_each_section_its_code() {
        let mut codes: Vec<_> = CODES.iter().map(|(code, ..)| *code).collect();
        let mut written: Vec<_> = sections().map(|(code, _)| code).collect();
        codes.sort_unstable();
        written.sort_unstable();
        assert_eq!(codes, written);
        assert!(codes.windows(2).all(|two| two[0] != two[1]), "a code is there twice: {codes:?}");
    }

    #[test]
    fn each_section_says_symptom_cause_and_remedy() {
        for (code, text) in sections() {
            for part in ["\n- Symptom: ", "\n- Cause: ", "\n- Remedy: "] {
                assert!(text.contains(part), "{code} has no `{}`", part.trim());
            }
        }
    }

    #[test]
    fn each_subject_has_one_code_in_its_class() {
        for (code, class, subjects) in CODES {
            for subject in *subjects {
                assert_eq!(super::code(&Failure::new(*class, *subject)), *code, "{subject}");
            }
        }
    }

    #[test]
    fn what_a_subject_says_of_itself_does_not_change_its_code() {
        let code = |class, subject: &str| super::code(&Failure::new(class, subject));
        assert_eq!(code(Product, "LogPattern `panic`"), "P09");
        assert_eq!(code(Infrastructure, "capture of LogPattern `panic`"), "I09");
        assert_eq!(code(Product, "ten blocks"), "P00");
        assert_eq!(code(Test, "scenario.window"), "T00");
    }
}
