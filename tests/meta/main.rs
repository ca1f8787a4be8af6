//! What needs no cluster: the layout of the tree, and what the documents say of it.

mod readme;
mod tidy;

use std::path::{Path, PathBuf};

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace").to_owned()
}
