//! `mynode <config.json>`: a stand-in for your node. Its chain has a block in every slot, the same on each node.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

type Config = Arc<Value>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: mynode <config.json>")?;
    let config: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let listener = tokio::net::TcpListener::bind(text(&config, "http")).await?;
    let paths = Router::new()
        .route("/cryptarchia/info", get(info))
        .route("/storage/block", post(block))
        .route("/network/info", get(network));
    Ok(axum::serve(listener, paths.with_state(Arc::new(config))).await?)
}

fn text<'a>(config: &'a Value, key: &str) -> &'a str {
    config[key].as_str().unwrap_or_default()
}

/// The id of a block, which begins with its height; that of genesis is 0.
fn id(height: u64) -> String {
    format!("{height:08x}{:056}", 0)
}

/// Where the chain ends.
async fn info(State(config): State<Config>) -> Json<Value> {
    let start = humantime::parse_rfc3339(text(&config, "start_time")).unwrap_or(SystemTime::UNIX_EPOCH);
    let slot = humantime::parse_duration(text(&config, "slot")).unwrap_or_default();
    let height = (start.elapsed().unwrap_or_default().as_millis() / slot.as_millis().max(1)) as u64;
    let height = height.min(config["stop_at"].as_u64().unwrap_or(u64::MAX));
    let lib = id(height.saturating_sub(config["security_param"].as_u64().unwrap_or_default()));
    Json(json!({ "lib": lib, "tip": id(height), "slot": height, "height": height, "mode": "Online" }))
}

/// The block with an id, `null` if there is none.
async fn block(Json(id_of_block): Json<String>) -> Json<Value> {
    let height = u64::from_str_radix(id_of_block.get(..8).unwrap_or_default(), 16).unwrap_or_default();
    if height == 0 {
        return Json(Value::Null);
    }
    let proof = json!({ "leader_key": "nobody" });
    let header = json!({ "parent_block": id(height - 1), "slot": height, "proof_of_leadership": proof });
    Json(json!({ "header": header, "transactions": [] }))
}

/// How many peers the node has; this one has those that it is told to have.
async fn network(State(config): State<Config>) -> Json<Value> {
    let peers = &config["peers"];
    let none: [String; 0] = [];
    Json(
        json!({ "listen_addresses": none, "n_peers": peers, "n_connections": peers, "n_pending_connections": 0 }),
    )
}
