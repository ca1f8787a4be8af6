//! The scenario suite on the in-tree node: one behaviour a file.

mod bodies;
mod chaos;
mod data;
mod faults;
mod liveness;
mod transactions;

use logos_scenario_devnode::Devnode;

logos_scenario::main!(program = Devnode::at(env!("CARGO_BIN_EXE_devnode")));
