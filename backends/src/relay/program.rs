//! The relay as a program of its own: what the container beside those of the nodes runs.

use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Relay, Way, control};

/// Opens the ways that the argument names, and carries until it is ended. Says what is wrong in one line.
#[must_use]
pub fn program(arguments: impl Iterator<Item = String>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let carried = runtime.map_err(|error| error.to_string());
    match carried.and_then(|runtime| runtime.block_on(carry(arguments.skip(1).collect()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("error: {what}");
            ExitCode::FAILURE
        }
    }
}

async fn carry(arguments: Vec<String>) -> Result<(), String> {
    let [ways] = &arguments[..] else {
        return Err(format!(
            "expected the ways as one argument of JSON, found {} arguments",
            arguments.len()
        ));
    };
    let ways: Vec<Way> = serde_json::from_str(ways).map_err(|error| format!("the ways: {error}"))?;
    let (relay, _) = Relay::open(&ways).await.map_err(|error| format!("a way cannot be opened: {error}"))?;
    let listener = TcpListener::bind(("0.0.0.0", control::PORT)).await;
    let listener = listener.map_err(|error| format!("port {} cannot be opened: {error}", control::PORT))?;
    let mut ended = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    println!("{} ways are open", ways.len());
    let broken = relay.ended();
    tokio::pin!(broken);
    loop {
        tokio::select! {
            biased;
            _ = ended.recv() => return Ok(()),
            () = &mut broken => return Err("a way ended by itself".to_owned()),
            accepted = listener.accept() => {
                let Ok((stream, from)) = accepted else { continue };
                if let Err(error) = control::answer(stream, &relay).await {
                    eprintln!("{from} is not answered: {error}");
                }
            }
        }
    }
}
