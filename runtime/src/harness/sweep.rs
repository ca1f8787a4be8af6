//! Sweeping by hand: what a backend does before its first cluster, and what came of it.

use std::process::ExitCode;

use super::skip::unavailable;
use crate::deployer::Backend;

/// Sweeps every backend that is usable here, and says what each removed.
pub(super) fn all(backends: &[Backend]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let mut code = ExitCode::SUCCESS;
        for backend in backends {
            let name = backend.name();
            if let Some(reason) = unavailable(backend).await {
                println!("{name}: not swept: {reason}");
                continue;
            }
            match backend.deployer().sweep().await {
                Ok(removed) if removed.is_empty() => println!("{name}: nothing to remove"),
                Ok(removed) => removed.iter().for_each(|cluster| println!("{name}: removed {cluster}")),
                Err(error) => {
                    eprintln!("{name}: {error}");
                    code = ExitCode::FAILURE;
                }
            }
        }
        code
    })
}
