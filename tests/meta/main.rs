//! What needs no cluster: the layout of the tree, what the documents say of it, and what a compiler says of mistakes.

mod chart;
mod compile;
mod guide;
mod packages;
mod readme;
mod tidy;

use std::path::{Path, PathBuf};

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace").to_owned()
}

/// Whether goldens are to be written anew.
fn updates() -> bool {
    std::env::vars().any(|(name, value)| name == "UPDATE" && value == "1")
}
