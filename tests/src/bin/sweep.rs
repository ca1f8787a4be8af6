//! Removes what clusters left whose owner is gone, on every backend of this build, and says what that was.

use std::process::ExitCode;

use logos_scenario::{Deployer as _, backends};

#[tokio::main]
async fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for backend in backends() {
        if backend.available().await.is_err() {
            continue;
        }
        match backend.sweep().await {
            Ok(swept) => swept.iter().for_each(|cluster| println!("{}: removed {cluster}", backend.name())),
            Err(error) => {
                eprintln!("{}: {error}", backend.name());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
