//! What went wrong, so that a reader can tell from the text alone: expected, seen, because, where to
//! look and what to try.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod index;

/// Whose failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureClass {
    /// An expectation about the chain did not hold.
    Product,
    /// The test's own code panicked, returned an error, or proved nothing.
    Test,
    /// The nodes could not be deployed, reached or driven.
    Infrastructure,
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Product => "product",
            Self::Test => "test",
            Self::Infrastructure => "infrastructure",
        })
    }
}

/// One thing that failed.
///
/// ```
/// # use logos_scenario_runtime::{Failure, FailureClass};
/// let failure = Failure::new(FailureClass::Product, "ConsensusLiveness")
///     .expected("at least 17 blocks on every node")
///     .seen("validator-0: 3 blocks")
///     .try_next("look for the last block in validator-0.log");
/// assert!(failure.to_string().contains("expected: at least 17 blocks on every node"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose failure it is.
    pub class: FailureClass,
    /// What failed: an expectation, a workload or a phase.
    pub subject: String,
    /// What there is to say of it.
    #[serde(flatten)]
    pub details: Box<Details>,
}

/// What there is to say of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What had to be the case.
    pub expected: Option<String>,
    /// What was the case, mostly one line per node.
    pub seen: Vec<String>,
    /// The reason, where it is known.
    pub because: Option<String>,
    /// Where to look: files, mostly.
    pub look: Vec<String>,
    /// What to try.
    pub try_next: Option<String>,
    /// The subjects of other failures of the run that explain this one.
    #[serde(default)]
    pub consequence_of: Vec<String>,
}

impl Failure {
    /// A failure of `subject` that says nothing yet.
    #[must_use]
    pub fn new(class: FailureClass, subject: impl Into<String>) -> Self {
        Self { class, subject: subject.into(), details: Box::default() }
    }

    /// Says what had to be the case.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.details.expected = Some(expected.into());
        self
    }

    /// Adds a line of what was the case.
    #[must_use]
    pub fn seen(mut self, seen: impl Into<String>) -> Self {
        self.details.seen.push(seen.into());
        self
    }

    /// Adds lines of what was the case.
    #[must_use]
    pub fn seen_all<S: Into<String>>(mut self, seen: impl IntoIterator<Item = S>) -> Self {
        self.details.seen.extend(seen.into_iter().map(Into::into));
        self
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, because: impl Into<String>) -> Self {
        self.details.because = Some(because.into());
        self
    }

    /// Adds a place to look at.
    #[must_use]
    pub fn look(mut self, place: impl Into<String>) -> Self {
        self.details.look.push(place.into());
        self
    }

    /// Says what to try.
    #[must_use]
    pub fn try_next(mut self, what: impl Into<String>) -> Self {
        self.details.try_next = Some(what.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, subject, details } = self;
        write!(f, "{subject} failed ({class})")?;
        if !details.consequence_of.is_empty() {
            write!(f, ", as a consequence of {}", details.consequence_of.join(" and "))?;
        }
        let mut part = |name: &str, text: &str| {
            let mut lines = text.lines();
            let first = format!("{name}: {}", lines.next().unwrap_or_default());
            write!(f, "\n  {}", first.trim_end())?;
            lines.try_for_each(|line| write!(f, "\n    {line}"))
        };
        if let Some(expected) = &details.expected {
            part("expected", expected)?;
        }
        match details.seen.as_slice() {
            [] => {}
            [one] => part("seen", one)?,
            several => part("seen", &format!("\n{}", several.join("\n")))?,
        }
        if let Some(because) = &details.because {
            part("because", because)?;
        }
        for place in &details.look {
            part("look at", place)?;
        }
        if let Some(what) = &details.try_next {
            part("try", what)?;
        }
        let code = index::code(self);
        part("code", &format!("{code}, which `-- --explain {code}` explains"))
    }
}

/// Everything for which a run failed; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailed {
    /// All failures, those that explain others first.
    pub failures: Vec<Failure>,
}

impl RunFailed {
    /// The class of the run: infrastructure explains test, and test explains product.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        self.failures.iter().map(|failure| failure.class).max().unwrap_or(FailureClass::Test)
    }
}

/// Marks what follows from what, and puts the failures into the order in which they are best read: by class, and
/// what explains others first. `explained_by` says by which subjects one may be explained.
pub(crate) fn explain<'a>(failures: &mut [Failure], explained_by: impl Fn(&Failure) -> &'a [&'a str]) {
    let subjects: Vec<_> = failures.iter().map(|failure| failure.subject.clone()).collect();
    for failure in &mut *failures {
        let explains = |subject: &&str| subjects.iter().any(|failed| failed == subject);
        let explaining = explained_by(failure).iter().copied().filter(explains);
        failure.details.consequence_of = explaining.map(str::to_owned).collect();
    }
    failures.sort_by_key(|failure| (std::cmp::Reverse(failure.class), failure.details.consequence_of.len()));
}

impl std::error::Error for Failure {}

impl From<Failure> for RunFailed {
    fn from(failure: Failure) -> Self {
        Self { failures: vec![failure] }
    }
}

impl fmt::Display for RunFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.failures.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            failure.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for RunFailed {}

/// One thing that is wrong with a scenario before anything runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: String,
    what: String,
    try_next: String,
}

impl Problem {
    /// Says where (`topology.validators`), what is wrong and was expected, and what to try.
    #[must_use]
    pub fn new(place: impl Into<String>, what: impl Into<String>, try_next: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), try_next: try_next.into() }
    }

    /// Where the problem is.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.what, self.try_next)
    }
}

impl std::error::Error for Problem {}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::new(FailureClass::Test, problem.place).seen(problem.what).try_next(problem.try_next)
    }
}

/// A scenario that cannot be built, with all its problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// All problems, in the order in which the scenario is read.
    pub problems: Vec<Problem>,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] => write!(f, "the scenario has a problem: {one}"),
            several => {
                write!(f, "the scenario has {} problems:", several.len())?;
                several.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
            }
        }
    }
}

impl std::error::Error for BuildError {}
