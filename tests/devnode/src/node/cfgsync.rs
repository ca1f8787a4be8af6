//! A configuration that is fetched: what the production image does before it starts its node.
//!
//! `CFG_SERVER_ADDR` names a cfgsync server, `CFG_HOST_KIND`, `CFG_HOST_IDENTIFIER` and `CFG_HOST_IP` say who asks,
//! and the answer goes to `CFG_FILE_PATH`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Fetches the configuration if the environment says so.
pub(super) fn fetch_if_told() -> Result<(), String> {
    #[expect(clippy::disallowed_methods, reason = "settings of the fetching alone, read once")]
    let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(server) = get("CFG_SERVER_ADDR") else { return Ok(()) };
    let needed = |name: &str| get(name).ok_or_else(|| format!("CFG_SERVER_ADDR is set, but {name} is not"));
    let body = serde_json::json!({
        "ip": needed("CFG_HOST_IP")?,
        "identifier": needed("CFG_HOST_IDENTIFIER")?,
    });
    let text = post(&server, &needed("CFG_HOST_KIND")?, &body.to_string())?;
    let path = needed("CFG_FILE_PATH")?;
    fs::write(&path, text).map_err(|error| format!("{path}: {error}"))
}

/// Posts JSON to a path of a server, and returns the body of the answer.
fn post(server: &str, path: &str, body: &str) -> Result<String, String> {
    let address = server.strip_prefix("http://").unwrap_or(server).trim_end_matches('/');
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "POST /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| format!("{server}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{server}: not HTTP"))?;
    let status = head.lines().next().unwrap_or_default();
    if status.contains(" 200 ") { Ok(body.to_owned()) } else { Err(format!("{server}: {status}: {body}")) }
}
