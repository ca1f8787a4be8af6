//! Tests that need a backend, as trials of a harness of their own.

use std::future::Future;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A backend that trials need. Where it cannot be used they are ignored with the reason, unless `SCENARIO_REQUIRE`
/// names it.
#[derive(Clone, Debug)]
pub struct Needed {
    missing: Option<String>,
    is_required: bool,
    is_listed: bool,
}

impl Needed {
    /// The backend of this name, of which `missing` is what keeps it from being used.
    #[must_use]
    pub fn new(backend: &str, missing: Option<String>, arguments: &Arguments) -> Self {
        let is_required = logos_scenario::env::is_required(backend);
        Self { missing, is_required, is_listed: arguments.list }
    }

    /// For trials that need something besides, for want of which they are ignored even where the backend is required.
    #[must_use]
    pub fn besides(&self, missing: Option<String>) -> Self {
        match &self.missing {
            Some(_) => self.clone(),
            None => Self { missing, is_required: false, ..*self },
        }
    }

    /// A trial of what `test` says.
    pub fn trial<F>(&self, name: impl Into<String>, test: impl FnOnce() -> F + Send + 'static) -> Trial
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let Self { missing, is_required, is_listed } = self.clone();
        // A runner that lists first, such as nextest, takes a completed trial for a passed one.
        let is_ignored = is_listed && missing.is_some() && !is_required;
        let run = move || match missing {
            Some(missing) if is_required => Err(Failed::from(missing)),
            Some(missing) => Ok(Completion::ignored_with(missing)),
            None => block_on(test())
                .map(|()| Completion::Completed)
                .map_err(|error| Failed::from(format!("{error:#}"))),
        };
        Trial::ignorable_test(name, run).with_ignored_flag(is_ignored)
    }
}

/// Runs a future on a runtime of its own.
///
/// # Panics
///
/// There can be no runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be made").block_on(future)
}
