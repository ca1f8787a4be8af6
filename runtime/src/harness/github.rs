//! What GitHub shows of failures: an annotation at the scenario's line, and a line in the job's summary.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::case::Case;
use crate::env;

/// What a workflow's step gives its programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GitHub {
    /// Where the job's summary is written to.
    pub(crate) summary: Option<PathBuf>,
}

/// Tells GitHub of a failed case, where this program runs in a workflow; `what` is all there is to say.
pub(super) fn tell(name: &str, case: &Case, what: &str) {
    let Some(github) = &env::settings().github else { return };
    eprintln!("{}", annotation(name, case.def.file, case.def.line, what));
    if let Some(summary) = &github.summary
        && let Err(error) = append(summary, &line(name, what))
    {
        eprintln!("warning: {} has no line of {name}: {error}", summary.display());
    }
}

/// A command of GitHub's workflows; its value ends with the line, so that line ends are encoded.
fn annotation(name: &str, file: &str, line: u32, what: &str) -> String {
    let escaped = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| escaped(text).replace(':', "%3A").replace(',', "%2C");
    format!("::error file={},line={line},title={}::{}", property(file), property(name), escaped(what))
}

fn line(name: &str, what: &str) -> String {
    let first = what.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    format!("- :x: `{name}`: {first}\n")
}

/// Processes of one step append lines of their own.
fn append(path: &Path, line: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_is_one_line() {
        let told = annotation("local::a::b", "tests/a,b.rs", 7, "NoCrash failed (product)\n  seen: 100%");
        assert_eq!(
            told,
            "::error file=tests/a%2Cb.rs,line=7,title=local%3A%3Aa%3A%3Ab::NoCrash failed (product)%0A  seen: 100%25"
        );
    }

    #[test]
    fn the_summary_has_a_line_for_each_failure() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("summary.md");
        for case in ["local::a", "local::b"] {
            append(&path, &line(case, "\nNoCrash failed (product)\n  seen: x")).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            "- :x: `local::a`: NoCrash failed (product)\n- :x: `local::b`: NoCrash failed (product)\n"
        );
    }
}
