//! What is remembered for a while.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// A set that forgets its oldest members.
pub(crate) struct Recent<T> {
    members: HashSet<T>,
    order: VecDeque<T>,
    most: usize,
}

impl<T: Copy + Eq + Hash> Recent<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self { members: HashSet::new(), order: VecDeque::new(), most }
    }

    pub(crate) fn contains(&self, member: &T) -> bool {
        self.members.contains(member)
    }

    pub(crate) fn insert(&mut self, member: T) {
        if !self.members.insert(member) {
            return;
        }
        self.order.push_back(member);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.members.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recent = Recent::new(2);
        for member in [1, 2, 1, 3] {
            recent.insert(member);
        }
        assert_eq!([1, 2, 3].map(|member| recent.contains(&member)), [false, true, true]);
    }
}
