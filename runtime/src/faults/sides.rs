//! Who still hears whom while links are cut, and what is wrong with a fault in a topology.

use std::collections::BTreeSet;

use super::{Link, NetworkFault, shapes};
use crate::failure::Problem;
use crate::topology::Topology;

/// The sides into which cut links part the nodes of a topology: by stake, the heaviest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sides(Vec<Side>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Side {
    nodes: BTreeSet<String>,
    stake: u64,
}

impl Sides {
    pub(crate) fn new(topology: &Topology, faults: &[NetworkFault]) -> Self {
        let links = topology.links();
        let open: Vec<Link> = shapes(faults, &links)
            .into_iter()
            .filter(|(_, shape)| !shape.cut)
            .map(|(link, _)| link)
            .collect();
        let mut rest: BTreeSet<&str> = topology.nodes().iter().map(|node| node.name.as_str()).collect();
        let mut sides = Vec::new();
        while let Some(first) = rest.pop_first() {
            let mut nodes = BTreeSet::from([first.to_owned()]);
            let mut new = vec![first];
            while let Some(node) = new.pop() {
                let heard = open.iter().filter(|link| link.from == node).map(|link| link.to.as_str());
                for next in heard {
                    if let Some(next) = rest.take(next) {
                        nodes.insert(next.to_owned());
                        new.push(next);
                    }
                }
            }
            let on_it = topology.nodes().iter().filter(|node| nodes.contains(&node.name));
            let stake = on_it.map(|node| node.stake).sum();
            sides.push(Side { nodes, stake });
        }
        sides.sort_by_key(|side| std::cmp::Reverse(side.stake));
        Self(sides)
    }

    /// The nodes that do not hear the heaviest side.
    pub(crate) fn apart(&self) -> BTreeSet<String> {
        self.0.iter().skip(1).flat_map(|side| side.nodes.iter().cloned()).collect()
    }

    /// The share of all stake that each side has, the heaviest first.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let total: u64 = self.0.iter().map(|side| side.stake).sum();
        self.0.iter().map(|side| side.stake as f64 / total.max(1) as f64).collect()
    }

    fn is_whole(&self, nodes: &[String]) -> bool {
        self.0.iter().any(|side| nodes.iter().all(|node| side.nodes.contains(node)))
    }
}

impl NetworkFault {
    /// Everything that makes this fault impossible in a topology.
    pub(crate) fn problems(&self, topology: &Topology) -> Vec<Problem> {
        let names: Vec<&str> = topology.nodes().iter().map(|node| node.name.as_str()).collect();
        let place = format!("fault `{self}`");
        let problem = |what: String, try_next: String| Problem::new(place.clone(), what, try_next);
        let mut problems: Vec<Problem> = self
            .nodes()
            .into_iter()
            .filter(|node| !names.contains(node))
            .map(|node| {
                problem(format!("there is no node `{node}`"), format!("nodes are {}", names.join(", ")))
            })
            .collect();
        if !problems.is_empty() {
            return problems;
        }
        match self {
            Self::Isolate(_) => {
                if names.len() == 1 {
                    problems.push(problem(
                        "there is no other node".into(),
                        "give the topology more nodes".into(),
                    ));
                }
            }
            Self::Partition(sides) => {
                let on = |name: &str| sides.iter().flatten().filter(|node| *node == name).count();
                for name in &names {
                    let what = match on(name) {
                        0 => "on no side",
                        1 => continue,
                        _ => "on several sides",
                    };
                    problems.push(problem(format!("{name} is {what}"), "name every node once".into()));
                }
                if sides.len() < 2 || sides.iter().any(Vec::is_empty) {
                    problems.push(problem("a side has no node".into(), "give two sides or more".into()));
                }
                let parted = Sides::new(topology, std::slice::from_ref(self));
                let broken = sides.iter().filter(|side| problems.is_empty() && !parted.is_whole(side));
                let broken: Vec<_> = broken.map(|side| side.join(", ")).collect();
                problems.extend(broken.into_iter().map(|side| {
                    problem(
                        format!("{side} would not hear each other either, since their links lead through other sides"),
                        "give the topology the layout `full`, or each side the node that its others dial".into(),
                    )
                }));
            }
            Self::Latency { link, .. } | Self::Loss { link, .. } | Self::Rate { link, .. } => {
                if !topology.links().contains(link) {
                    problems.push(problem(
                        format!("{} and {} are not linked", link.from, link.to),
                        "name two nodes of which one dials the other, or give the topology the layout `full`"
                            .into(),
                    ));
                }
            }
        }
        let effect = match self {
            Self::Latency { delay, .. } if delay.is_zero() => "a delay of 0 has no effect",
            Self::Loss { percent, .. } if !(1..=100).contains(percent) => "the loss is not within 1 to 100 %",
            Self::Rate { bytes_per_second: 0, .. } => "a rate of 0 lets nothing pass",
            _ => return problems,
        };
        problems
            .push(problem(effect.into(), "give another number, or use `isolate` to cut a node off".into()));
        problems
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::topology::TopologyBuilder;

    fn topology(layout: fn(TopologyBuilder) -> TopologyBuilder) -> Topology {
        layout(Topology::with_node_counts(4, 0)).build().unwrap()
    }

    fn full() -> Topology {
        topology(TopologyBuilder::network_full)
    }

    #[test]
    fn sides_are_who_still_hears_whom() {
        let names = |fault| Sides::new(&full(), &[fault]).apart().into_iter().collect::<Vec<_>>();
        assert_eq!(names(NetworkFault::Isolate("validator-0".into())), ["validator-0"]);
        let parted = NetworkFault::partition(["validator-1"], ["validator-0", "validator-2", "validator-3"]);
        assert_eq!(names(parted), ["validator-1"]);
        let star = topology(TopologyBuilder::network_star);
        let apart = Sides::new(&star, &[NetworkFault::Isolate("validator-0".into())]).apart();
        assert_eq!(apart.len(), 3, "nobody hears anybody without the middle of a star");
        assert_eq!(Sides::new(&full(), &[]).apart().len(), 0);
    }

    fn told(topology: &Topology, fault: &NetworkFault) -> Vec<String> {
        fault.problems(topology).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_cannot_be_disturbed_is_told() {
        let nobody = NetworkFault::Isolate("nobody".into());
        assert_eq!(
            told(&full(), &nobody),
            ["fault `isolate nobody`: there is no node `nobody`; nodes are validator-0, validator-1, \
              validator-2, validator-3"]
        );
        let three = NetworkFault::partition(["validator-0"], ["validator-1", "validator-2"]);
        assert!(told(&full(), &three)[0].contains("validator-3 is on no side; name every node once"));
        let twice = NetworkFault::Partition(vec![
            vec!["validator-0".into(), "validator-1".into()],
            vec!["validator-1".into(), "validator-2".into(), "validator-3".into()],
        ]);
        assert!(told(&full(), &twice)[0].contains("validator-1 is on several sides"));
        let star = topology(TopologyBuilder::network_star);
        let broken = NetworkFault::partition(["validator-0", "validator-1"], ["validator-2", "validator-3"]);
        assert!(
            told(&star, &broken)[0].contains("validator-2, validator-3 would not hear each other either")
        );
        assert_eq!(told(&full(), &broken), [""; 0]);
        let link = Link::new("validator-1", "validator-2");
        let slow =
            NetworkFault::Latency { link: link.clone(), delay: Duration::ZERO, jitter: Duration::ZERO };
        assert!(told(&star, &slow)[0].contains("validator-1 and validator-2 are not linked"));
        assert!(told(&full(), &slow)[0].contains("a delay of 0 has no effect"));
        assert_eq!(told(&full(), &NetworkFault::Loss { link, percent: 101 }).len(), 1);
    }
}
