//! How many clusters a program's cases had, and why each was made.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::Reason;

/// The leases of one program.
#[derive(Debug, Default)]
pub(super) struct Counts {
    keys: BTreeSet<String>,
    leases: usize,
    made: BTreeMap<Reason, usize>,
}

impl Counts {
    /// Counts a lease, and its cluster if it was made for it.
    pub(super) fn lease(&mut self, key: String, made: Option<Reason>) {
        self.keys.insert(key);
        self.leases += 1;
        if let Some(reason) = made {
            *self.made.entry(reason).or_default() += 1;
        }
    }

    /// All of it in a line; nothing where there was no lease.
    pub(super) fn summary(&self) -> Option<String> {
        let why: Vec<_> = self.made.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(", ")) };
        let (made, leases, keys) = (self.made.values().sum::<usize>(), self.leases, self.keys.len());
        (leases > 0).then(|| format!("clusters: {made} made for {leases} leases of {keys} keys{why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cluster_is_counted_with_its_reason() {
        let mut counts = Counts::default();
        assert_eq!(counts.summary(), None);
        for (key, made) in [
            ("a", Some(Reason::First)),
            ("a", None),
            ("b", Some(Reason::First)),
            ("a", Some(Reason::Poisoned)),
        ] {
            counts.lease(key.to_owned(), made);
        }
        assert_eq!(
            counts.summary().unwrap(),
            "clusters: 3 made for 4 leases of 2 keys: 2 first of its key, 1 after one that went bad"
        );
    }
}
