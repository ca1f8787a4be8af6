//! Links between nodes, how faults shape them, and what a relay sees of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::NetworkFault;

/// What one node sends to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Link {
    /// Who sends.
    pub from: String,
    /// Who hears it.
    pub to: String,
}

impl Link {
    /// What `from` sends to `to`.
    #[must_use]
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { from: from.into(), to: to.into() }
    }

    /// What is sent the other way.
    #[must_use]
    pub fn back(&self) -> Self {
        Self::new(&self.to, &self.from)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

/// What becomes of what is sent over a link; by default it passes as it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Nothing passes.
    pub cut: bool,
    /// It arrives that much later, at least.
    pub delay: Duration,
    /// And that much more, at most.
    pub jitter: Duration,
    /// So much of it is lost, from 0 to 100.
    pub loss: u8,
    /// So many bytes pass in a second, one after the other.
    pub rate: Option<u64>,
}

/// What a relay has seen of a link since it was shaped last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkState {
    /// Which link.
    pub link: Link,
    /// How it is shaped.
    pub shape: Shape,
    /// Connections that are open now; flows of datagrams count as such.
    pub open: u64,
    /// Pieces of data that passed.
    pub passed: u64,
    /// Pieces of data that were lost, be they sent again or not.
    pub lost: u64,
    /// The least time for which any piece was held back.
    pub least_held: Option<Duration>,
    /// The highest rate at which any piece passed, in bytes per second.
    pub fastest: Option<u64>,
}

/// How each of `links` is shaped by faults. Delays add up; of losses and rates the worst counts.
#[must_use]
pub fn shapes<'a>(
    faults: &[NetworkFault],
    links: impl IntoIterator<Item = &'a Link>,
) -> BTreeMap<Link, Shape> {
    links.into_iter().map(|link| (link.clone(), shape(faults, link))).collect()
}

fn shape(faults: &[NetworkFault], of: &Link) -> Shape {
    let mut shape = Shape::default();
    for fault in faults {
        match fault {
            NetworkFault::Isolate(node) => shape.cut |= *node == of.from || *node == of.to,
            NetworkFault::Partition(sides) => {
                let side = |node: &String| sides.iter().position(|side| side.contains(node));
                shape.cut |= side(&of.from) != side(&of.to);
            }
            NetworkFault::Latency { link, delay, jitter } if link == of => {
                shape.delay += *delay;
                shape.jitter += *jitter;
            }
            NetworkFault::Loss { link, percent } if link == of => shape.loss = shape.loss.max(*percent),
            NetworkFault::Rate { link, bytes_per_second } if link == of => {
                shape.rate = Some(shape.rate.map_or(*bytes_per_second, |rate| rate.min(*bytes_per_second)));
            }
            _ => {}
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_add_up() {
        let link = Link::new("a", "b");
        let of = |faults: &[NetworkFault]| shape(faults, &link);
        let seconds = Duration::from_secs;
        let slow = |link: Link| NetworkFault::Latency { link, delay: seconds(1), jitter: seconds(2) };
        let narrow = |bytes_per_second| NetworkFault::Rate { link: link.clone(), bytes_per_second };
        assert_eq!(of(&[]), Shape::default());
        assert_eq!(of(&[slow(link.back())]), Shape::default(), "a link has a direction");
        assert_eq!(
            of(&[slow(link.clone()), slow(link.clone()), narrow(9), narrow(7)]),
            Shape { delay: seconds(2), jitter: seconds(4), rate: Some(7), ..Shape::default() }
        );
    }

    #[test]
    fn a_cut_is_between_the_sides() {
        let cut = |fault: NetworkFault, from: &str, to: &str| shape(&[fault], &Link::new(from, to)).cut;
        let parted = || NetworkFault::partition(["a", "b"], ["c"]);
        assert!(!cut(parted(), "a", "b"));
        assert!(cut(parted(), "b", "c") && cut(parted(), "c", "a"));
        let alone = || NetworkFault::Isolate("a".into());
        assert!(cut(alone(), "a", "b") && cut(alone(), "c", "a"));
        assert!(!cut(alone(), "b", "c"));
    }
}
