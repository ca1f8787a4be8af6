//! Connections, within limits: who connects too often, asks too slowly or never reads takes nothing from others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use crate::node::clock::sleep;

/// What a client may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Connections of all clients together; more wait until one is closed.
    pub(super) connections: usize,
    /// How long a connection may take to send the head of its next request.
    pub(super) head: Duration,
    /// How long a client may leave unread what was sent to it.
    pub(super) unread: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 512, head: Duration::from_secs(30), unread: Duration::from_secs(30) }
    }
}

/// The place that a connection takes among those that there may be; its requests have it as an extension.
#[derive(Clone)]
pub(super) struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Place {
    /// Makes room for another connection, long before this one ends.
    pub(super) fn leave(&self) {
        drop(self.0.lock().expect("a panic anywhere ends the process").take());
    }
}

/// How long nobody is let in after the system had no room.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the process ends.
pub(super) async fn serve(listener: TcpListener, routes: Router, limits: Limits) {
    let room = Arc::new(Semaphore::new(limits.connections));
    loop {
        let place = room.clone().acquire_owned().await.expect("it is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("no connection can be accepted: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let routes = routes.clone();
        tokio::spawn(async move {
            let place = Place(Arc::new(Mutex::new(Some(place))));
            if let Err(error) = answer(stream, routes, limits, place).await {
                debug!("a connection ended: {error}");
            }
        });
    }
}

async fn answer(
    stream: TcpStream,
    routes: Router,
    limits: Limits,
    place: Place,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let unread = u32::try_from(limits.unread.as_millis()).unwrap_or(u32::MAX);
    set_tcp_user_timeout(&stream, unread)?;
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(place.clone());
        routes.call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
