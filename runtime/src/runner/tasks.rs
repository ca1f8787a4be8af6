//! Workloads and expectations as tasks that have names.

use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use crate::failure::{Failure, FailureClass};

tokio::task_local! {
    /// The name of the workload or expectation that runs.
    pub(crate) static TASK: String;
}

/// Named tasks that run beside each other; panics become failures of the task's name.
pub(super) struct Tasks<T> {
    running: JoinSet<Result<T, Failure>>,
    /// In the order in which they were spawned.
    tasks: Vec<Task<T>>,
}

struct Task<T> {
    id: tokio::task::Id,
    name: String,
    outcome: Option<Result<T, Failure>>,
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Self { running: JoinSet::new(), tasks: Vec::new() }
    }
}

impl<T: Send + 'static> Tasks<T> {
    pub(super) fn spawn(
        &mut self,
        name: String,
        task: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) {
        let id = self.running.spawn(TASK.scope(name.clone(), task)).id();
        self.tasks.push(Task { id, name, outcome: None });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn has_failed(&self) -> bool {
        !self.failed().is_empty()
    }

    /// The names of those that failed by now.
    pub(super) fn failed(&self) -> Vec<String> {
        let failed = self.tasks.iter().filter(|task| matches!(task.outcome, Some(Err(_))));
        failed.map(|task| task.name.clone()).collect()
    }

    /// Whether the one of this name came to a good end.
    pub(super) fn has_succeeded(&self, name: &str) -> bool {
        self.tasks.iter().any(|task| task.name == name && matches!(task.outcome, Some(Ok(_))))
    }

    pub(super) async fn join_next(&mut self) {
        let Some(joined) = self.running.join_next_with_id().await else { return };
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(task) = self.tasks.iter_mut().find(|task| task.id == id) else { return };
        task.outcome =
            Some(joined.map_or_else(|error| Err(panicked(&task.name, error)), |(_, outcome)| outcome));
    }

    pub(super) async fn join_all(&mut self) {
        while !self.running.is_empty() {
            self.join_next().await;
        }
    }

    /// Awaits all of them; what is not done in time is ended and failed.
    pub(super) async fn join_within(&mut self, within: Duration, what: &str) {
        if tokio::time::timeout(within, self.join_all()).await.is_ok() {
            return;
        }
        self.running.shutdown().await;
        let within = humantime::format_duration(within);
        for task in self.tasks.iter_mut().filter(|task| task.outcome.is_none()) {
            let failure = Failure::new(FailureClass::Test, &task.name)
                .expected(format!("it {what}, within {within}"))
                .seen("it still ran, and was ended")
                .try_next("await `cx.stopping()` in workloads and `cx.settled()` in expectations");
            task.outcome = Some(Err(failure));
        }
    }

    /// What became of those that ended, in the order in which they were spawned.
    pub(super) fn outcomes(self) -> impl Iterator<Item = (String, Result<T, Failure>)> {
        self.tasks.into_iter().filter_map(|task| Some((task.name, task.outcome?)))
    }
}

fn panicked(name: &str, error: JoinError) -> Failure {
    let seen = match error.try_into_panic() {
        Ok(payload) => format!("a panic: {}", panic_text(&*payload)),
        Err(error) => error.to_string(),
    };
    Failure::new(FailureClass::Test, name).expected("no panic").seen(seen)
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no text")
}
