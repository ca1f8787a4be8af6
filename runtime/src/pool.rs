//! Who may use how much of the machine. Every case has a cluster of its own for now; what they share is
//! the [budget] of nodes.

pub(crate) mod budget;
