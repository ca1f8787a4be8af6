//! A collector for one machine, where there is no other: `otlp_collector [address]`, by default `127.0.0.1:4318`.
//!
//! Prometheus gets the metrics from `/metrics`.

use std::process::ExitCode;

use logos_scenario_tests::collector::Collector;

#[tokio::main]
async fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4318".to_owned());
    match Collector::start(&address).await {
        Ok(collector) => {
            println!("takes OTLP over HTTP at {}", collector.url());
            std::future::pending().await
        }
        Err(error) => {
            eprintln!("cannot listen at {address}: {error}; name another address and port");
            ExitCode::FAILURE
        }
    }
}
