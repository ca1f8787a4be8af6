//! Clients that hold connections for nothing lose them.

use std::net::SocketAddr;

use axum::Extension;
use axum::body::Body;
use axum::routing::get;
use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;

/// No step takes that long.
const LATE: Duration = Duration::from_secs(20);

async fn server(limits: Limits) -> SocketAddr {
    let endless =
        async || Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 65_536])));
    let leaving = async move |Extension(place): Extension<Place>| {
        place.leave();
        endless().await
    };
    let routes = Router::new().route("/", get(async || "hello"));
    let routes = routes.route("/endless", get(endless)).route("/leaving", get(leaving));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, routes, limits));
    address
}

async fn connected(to: SocketAddr, said: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    stream
}

/// What the server says until it closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    timeout(LATE, stream.read_to_end(&mut said)).await.expect("the server closes it").unwrap();
    String::from_utf8(said).unwrap()
}

const QUESTION: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn half_a_question_is_not_waited_for() {
    let limits = Limits { head: Duration::from_millis(50), ..Limits::default() };
    let address = server(limits).await;
    let answer = rest(connected(address, "GET / HTTP/1.1\r\nhos").await).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    assert!(rest(connected(address, QUESTION).await).await.ends_with("hello"));
}

#[tokio::test]
async fn who_takes_all_connections_gives_them_back() {
    let limits = Limits { connections: 2, head: Duration::from_millis(50), ..Limits::default() };
    let address = server(limits).await;
    let _held = [connected(address, "").await, connected(address, "").await];
    assert!(rest(connected(address, QUESTION).await).await.ends_with("hello"));
}

#[tokio::test]
async fn who_does_not_read_is_cut_off() {
    let limits = Limits { connections: 1, unread: Duration::from_millis(300), ..Limits::default() };
    let address = server(limits).await;
    let _deaf = connected(address, "GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // The only connection there may be is free again.
    assert!(rest(connected(address, QUESTION).await).await.ends_with("hello"));
}

#[tokio::test]
async fn who_has_left_its_place_holds_nobody_up() {
    let address = server(Limits { connections: 1, ..Limits::default() }).await;
    let _deaf = connected(address, "GET /leaving HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(rest(connected(address, QUESTION).await).await.ends_with("hello"));
}
