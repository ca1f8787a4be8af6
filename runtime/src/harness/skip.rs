//! Which cases cannot run here, and why: known before anything runs, so that a list says it too.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::attach;
use crate::case::Case;
use crate::deployer::{Backend, Unavailable};
use crate::env;

/// Why each backend that is not usable here is not.
pub(super) struct Skips(BTreeMap<String, Unavailable>);

impl Skips {
    /// Asks the backends of these cases, each once. That touches nothing, and ends after two seconds.
    pub(super) fn find<'a>(cases: impl Iterator<Item = &'a Case>) -> Self {
        let mut backends = BTreeMap::<&str, &Backend>::new();
        for case in cases {
            backends.entry(case.backend.name()).or_insert(&case.backend);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return Self(BTreeMap::new()) };
        let ask =
            async |(name, backend): (&str, &Backend)| Some((name.to_owned(), unavailable(backend).await?));
        let answers = runtime.block_on(futures::future::join_all(backends.into_iter().map(ask)));
        runtime.shutdown_background();
        Self(answers.into_iter().flatten().collect())
    }

    /// Why a case is ignored, if it is.
    pub(super) fn reason(&self, case: &Case) -> Option<String> {
        if let Some(reason) = case.def.ignore {
            return Some(attribute(reason));
        }
        if let Some(why) = attach::refuses(case.backend.name(), case.def.args.sharing()) {
            return Some(why.to_owned());
        }
        let name = case.backend.name();
        if env::is_required(name) {
            return None;
        }
        if let Some(unavailable) = self.0.get(name) {
            return Some(unavailable.to_string());
        }
        let lacking = case.lacking();
        (!lacking.is_empty()).then(|| format!("backend `{name}` is not capable of {}", lacking.join(", ")))
    }
}

/// Why a function with `#[ignore]` is ignored, whose reason is empty where none is given.
pub(super) fn attribute(reason: &str) -> String {
    if reason.is_empty() { "by its attribute".to_owned() } else { reason.to_owned() }
}

/// Why a backend is not usable here, if it is not.
pub(super) async fn unavailable(backend: &Backend) -> Option<Unavailable> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let answer = tokio::time::timeout(PATIENCE, backend.deployer().available()).await;
    answer
        .unwrap_or_else(|_| {
            Err(Unavailable {
                missing: format!(
                    "backend `{}` did not say within two seconds whether it is usable",
                    backend.name()
                ),
                try_next: "look what its `available` waits for".to_owned(),
            })
        })
        .err()
}
