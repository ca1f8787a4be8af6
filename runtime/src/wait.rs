//! The one loop that sleeps.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// How often a probe is repeated.
pub const POLL: Duration = Duration::from_millis(50);

/// Asks `probe` until it answers `Ok`, at most for `within`. The probe says in its `Err` what it saw
/// instead; the last of these is in the error.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let mut asked = 0;
/// let answer = logos_scenario::wait::until("the third answer", Duration::from_secs(5), || {
///     asked += 1;
///     async move { if asked < 3 { Err(format!("answer {asked}")) } else { Ok(asked) } }
/// })
/// .await;
/// assert_eq!(answer.unwrap(), 3);
/// # });
/// ```
///
/// # Errors
///
/// [`TimedOut`] with what was awaited, for how long, the last thing seen and how often it was asked.
pub async fn until<T, S, F>(
    what: &str,
    within: Duration,
    mut probe: impl FnMut() -> F,
) -> Result<T, TimedOut<S>>
where
    F: Future<Output = Result<T, S>>,
{
    let deadline = Instant::now() + within;
    let mut tries = 0;
    let mut last = None;
    loop {
        tries += 1;
        match tokio::time::timeout_at(deadline, probe()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(seen)) => last = Some(seen),
            Err(_) => {}
        }
        if Instant::now() + POLL >= deadline {
            return Err(TimedOut { what: what.to_owned(), within, last, tries });
        }
        pause(POLL).await;
    }
}

/// Lets `duration` pass: for clocks that tick (a pacer, a poller), never in place of a wait for something.
#[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Lets time pass until `time`, as [`pause`].
#[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
pub(crate) async fn pause_until(time: Instant) {
    tokio::time::sleep_until(time).await;
}

/// Something that was not so in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedOut<S> {
    /// What was awaited.
    pub what: String,
    /// For how long.
    pub within: Duration,
    /// The last thing seen; `None` if no probe ever answered.
    pub last: Option<S>,
    /// How often it was looked at.
    pub tries: usize,
}

impl<S: fmt::Display> fmt::Display for TimedOut<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = humantime::format_duration(self.within);
        write!(f, "{} was not so within {within}; last seen after {} tries: ", self.what, self.tries)?;
        match &self.last {
            Some(last) => last.fmt(f),
            None => f.write_str("no answer"),
        }
    }
}

impl<S: fmt::Debug + fmt::Display> std::error::Error for TimedOut<S> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_error_keeps_the_last_thing_seen() {
        let mut height = 0;
        let error = until("height 10", Duration::from_secs(1), || {
            height += 1;
            std::future::ready(Err::<(), _>(format!("height {height}")))
        })
        .await
        .unwrap_err();
        assert_eq!((error.tries, error.last.as_deref()), (20, Some("height 20")));
        assert_eq!(error.to_string(), "height 10 was not so within 1s; last seen after 20 tries: height 20");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_is_cut_off() {
        let probe = std::future::pending::<Result<(), String>>;
        let error = until("an answer", Duration::from_secs(3), probe).await.unwrap_err();
        assert_eq!((error.tries, &error.last), (1, &None));
        assert_eq!(error.to_string(), "an answer was not so within 3s; last seen after 1 tries: no answer");
    }
}
