//! Whether a fault, or its healing, had its effect: told from what the relay and the nodes show.

use std::collections::{BTreeMap, BTreeSet};

use super::{Link, LinkState, NetworkFault, Shape, shapes};

/// What relay and nodes show at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    pub(super) links: Vec<LinkState>,
    /// Nodes whose processes run.
    pub(super) running: BTreeSet<String>,
    /// The number of peers that each node tells which answers.
    pub(super) peers: BTreeMap<String, usize>,
}

impl Observed {
    /// What of a fault that is in force is not seen.
    pub(super) fn lacks_effect(&self, fault: &NetworkFault) -> Vec<String> {
        let mut lacks = Vec::new();
        for (state, wanted) in self.shaped_by(fault) {
            let LinkState { link, open, passed, lost, .. } = state;
            if wanted.cut {
                if *open > 0 {
                    lacks.push(format!("{open} connections from {link} are open"));
                }
            } else if state.shape.cut {
                // Another fault lets nothing pass, so that there is nothing to see.
            } else if wanted.loss > 0 {
                if *lost == 0 {
                    lacks.push(format!("of {passed} pieces from {link} none was lost"));
                }
            } else if *passed == 0 {
                lacks.push(format!("nothing passed from {link}{}", self.asleep(link)));
            } else if state.least_held.is_some_and(|held| held < wanted.delay) {
                lacks.push(format!(
                    "something passed from {link} in {:?}",
                    state.least_held.unwrap_or_default()
                ));
            } else if wanted.rate.is_some_and(|rate| state.fastest.is_some_and(|seen| seen > rate)) {
                lacks.push(format!(
                    "something passed from {link} at {} bytes per second",
                    state.fastest.unwrap_or_default()
                ));
            }
        }
        if fault.cuts() {
            for (node, peers) in &self.peers {
                let most = self.of(node).filter(|state| !state.shape.cut).count();
                if *peers > most {
                    lacks.push(format!("{node} has {peers} peers, but links to {most}"));
                }
            }
        }
        lacks
    }

    /// What of the end of a fault is not seen.
    pub(super) fn lacks_healing(&self, fault: &NetworkFault) -> Vec<String> {
        let mut lacks = Vec::new();
        for (state, was) in self.shaped_by(fault) {
            let LinkState { link, shape, open, passed, .. } = state;
            if shape.cut || !self.run(link) {
                continue;
            }
            let slow = was.delay > shape.delay && state.least_held.is_some_and(|held| held >= was.delay);
            if *open == 0 {
                lacks.push(format!("no connection from {link} is open"));
            } else if *passed == 0 {
                lacks.push(format!("nothing passed from {link}"));
            } else if slow {
                lacks.push(format!("what passes from {link} still takes {:?} or more", was.delay));
            }
        }
        if fault.cuts() {
            for (node, peers) in &self.peers {
                let linked = self.of(node).filter(|state| !state.shape.cut && self.run(&state.link));
                let least = linked.count();
                if *peers < least {
                    lacks.push(format!("{node} has {peers} of {least} peers"));
                }
            }
        }
        lacks
    }

    fn shaped_by(&self, fault: &NetworkFault) -> impl Iterator<Item = (&LinkState, Shape)> {
        let shapes = shapes(std::slice::from_ref(fault), self.links.iter().map(|state| &state.link));
        let wanted = self.links.iter().map(move |state| (state, shapes[&state.link]));
        wanted.filter(|(_, shape)| *shape != Shape::default())
    }

    /// What a node sends.
    fn of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a LinkState> {
        self.links.iter().filter(move |state| state.link.from == node)
    }

    fn run(&self, link: &Link) -> bool {
        [&link.from, &link.to].into_iter().all(|node| self.running.contains(node))
    }

    /// Which ends of a link do not run.
    fn asleep(&self, link: &Link) -> String {
        let asleep = [&link.from, &link.to].into_iter().filter(|node| !self.running.contains(*node));
        asleep.map(|node| format!("; {node} does not run")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Three nodes in a row of links, `b` in the middle, shaped by these faults; nothing passed.
    fn observed(faults: &[NetworkFault]) -> Observed {
        let links = [("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")].map(|(from, to)| Link::new(from, to));
        let state = |(link, shape): (Link, Shape)| LinkState {
            link,
            shape,
            open: 1,
            passed: 0,
            lost: 0,
            least_held: None,
            fastest: None,
        };
        Observed {
            links: shapes(faults, &links).into_iter().map(state).collect(),
            running: ["a", "b", "c"].map(str::to_owned).into(),
            peers: [("a", 1), ("b", 2), ("c", 1)].map(|(node, peers)| (node.to_owned(), peers)).into(),
        }
    }

    fn change(observed: &mut Observed, change: impl Fn(&mut LinkState)) {
        observed.links.iter_mut().for_each(change);
    }

    #[test]
    fn a_cut_is_seen_by_the_relay_and_by_the_nodes() {
        let cut = NetworkFault::Isolate("a".into());
        let mut seen = observed(std::slice::from_ref(&cut));
        assert_eq!(
            seen.lacks_effect(&cut),
            [
                "1 connections from a to b are open",
                "1 connections from b to a are open",
                "a has 1 peers, but links to 0",
                "b has 2 peers, but links to 1",
            ]
        );
        change(&mut seen, |state| state.open = u64::from(!state.shape.cut));
        seen.peers.insert("b".into(), 1);
        assert_eq!(seen.lacks_effect(&cut), ["a has 1 peers, but links to 0"]);
        seen.peers.remove("a");
        assert_eq!(seen.lacks_effect(&cut), [""; 0], "who does not answer cannot be asked");
    }

    #[test]
    fn the_end_of_a_cut_is_seen_when_all_that_run_are_connected() {
        let cut = NetworkFault::Isolate("a".into());
        let mut seen = observed(&[]);
        change(&mut seen, |state| state.open = 0);
        seen.peers.insert("a".into(), 0);
        assert_eq!(
            seen.lacks_healing(&cut),
            ["no connection from a to b is open", "no connection from b to a is open", "a has 0 of 1 peers"]
        );
        change(&mut seen, |state| (state.open, state.passed) = (1, 1));
        assert_eq!(seen.lacks_healing(&cut), ["a has 0 of 1 peers"]);
        seen.running.remove("b");
        assert_eq!(seen.lacks_healing(&cut), [""; 0]);
    }

    #[test]
    fn what_is_held_back_is_seen_on_its_link() {
        let link = Link::new("a", "b");
        let slow = NetworkFault::Latency { link: link.clone(), delay: 50 * MS, jitter: MS };
        let mut seen = observed(std::slice::from_ref(&slow));
        assert_eq!(seen.lacks_effect(&slow), ["nothing passed from a to b"]);
        change(&mut seen, |state| (state.passed, state.least_held) = (3, Some(20 * MS)));
        assert_eq!(seen.lacks_effect(&slow), ["something passed from a to b in 20ms"]);
        change(&mut seen, |state| state.least_held = Some(50 * MS));
        assert_eq!(seen.lacks_effect(&slow), [""; 0]);
        change(&mut seen, |state| state.shape = Shape::default());
        assert_eq!(seen.lacks_healing(&slow), ["what passes from a to b still takes 50ms or more"]);
        change(&mut seen, |state| state.least_held = Some(MS));
        assert_eq!(seen.lacks_healing(&slow), [""; 0]);

        let lossy = NetworkFault::Loss { link: link.clone(), percent: 9 };
        assert_eq!(seen.lacks_effect(&lossy), ["of 3 pieces from a to b none was lost"]);
        let narrow = NetworkFault::Rate { link, bytes_per_second: 1_000 };
        change(&mut seen, |state| state.fastest = Some(1_001));
        assert_eq!(seen.lacks_effect(&narrow), ["something passed from a to b at 1001 bytes per second"]);
    }
}
