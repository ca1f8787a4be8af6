//! What a case that waits says: on what, when that changes, and again where it does not.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::Instant;

use crate::wait;

/// How often a case that waits says on what.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// Whether a case that waits for this waits while its cluster is made, and not for others.
pub(super) fn is_deployed(what: &str) -> bool {
    what.starts_with("deploying")
}

/// The waiting of one case.
pub(super) struct Waiting<S> {
    say: S,
    /// What is waited for, and when it is told again.
    last: RefCell<Option<(String, Instant)>>,
}

impl<S: Fn(&str)> Waiting<S> {
    pub(super) fn new(say: S) -> Self {
        Self { say, last: RefCell::default() }
    }

    /// Says what the case waits for from now on. Whoever holds its cluster may change often: only that it is
    /// deployed, or is not any more, is told at once.
    pub(super) fn hear(&self, what: String) {
        let due = match &*self.last.borrow() {
            Some((before, due)) if is_deployed(before) == is_deployed(&what) => *due,
            _ => Instant::now(),
        };
        self.last.replace(Some((what, due)));
        self.say_if_due();
    }

    /// Says it again and again.
    pub(super) async fn repeat(&self) -> Infallible {
        loop {
            wait::pause(SAY_AGAIN / 10).await;
            self.say_if_due();
        }
    }

    fn say_if_due(&self) {
        if let Some((what, due)) = &mut *self.last.borrow_mut()
            && *due <= Instant::now()
        {
            (self.say)(what);
            *due = Instant::now() + SAY_AGAIN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_case_waits_for_is_told_again() {
        let said = RefCell::new(Vec::new());
        let waiting = Waiting::new(|what: &str| said.borrow_mut().push(what.to_owned()));
        waiting.hear("waiting for a".to_owned());
        waiting.hear("waiting for b".to_owned());
        waiting.hear("deploying".to_owned());
        assert_eq!(*said.borrow(), ["waiting for a", "deploying"]);
        let _ = tokio::time::timeout(SAY_AGAIN * 2 + SAY_AGAIN / 5, waiting.repeat()).await;
        assert_eq!(said.borrow()[2..], ["deploying", "deploying"]);
        waiting.hear("waiting for room".to_owned());
        assert_eq!(said.borrow().last().unwrap(), "waiting for room");
    }
}
