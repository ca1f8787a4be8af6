//! The bodies of requests: JSON, read within the limits, and parsed beside the loop where that takes long.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::MAX_TIME;

/// A longer body is parsed on a thread of its own: the largest takes seconds, and the node has one thread.
const LONG: usize = 64 * 1024;

/// One long body at a time, so that there is a core for the node.
static PARSING: Semaphore = Semaphore::const_new(1);

/// JSON as axum's [`Json`] takes it, with the same answers to what is none, and 408 to what comes too slowly.
pub(in crate::node) struct JsonBody<T>(pub(in crate::node) T);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        // What is no JSON by its type is refused before it is read.
        let null = Request::from_parts(parts.clone(), Body::from("null"));
        let typed = Json::from_request(null, state).await;
        let Json(IgnoredAny) = typed.map_err(IntoResponse::into_response)?;
        let bytes = timeout(MAX_TIME, Bytes::from_request(Request::from_parts(parts, body), state)).await;
        let bytes = bytes.map_err(|_| StatusCode::REQUEST_TIMEOUT.into_response())?;
        let bytes = bytes.map_err(IntoResponse::into_response)?;
        let parsed = if bytes.len() > LONG {
            let _turn = PARSING.acquire().await.expect("it is never closed");
            let parsing = tokio::task::spawn_blocking(move || Json::from_bytes(&bytes));
            parsing.await.expect("a panic anywhere ends the process")
        } else {
            Json::from_bytes(&bytes)
        };
        parsed.map(|Json(value)| Self(value)).map_err(IntoResponse::into_response)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use serde::{Deserialize, Deserializer};

    use super::*;

    /// Where it was parsed.
    struct Place(ThreadId);

    impl<'de> Deserialize<'de> for Place {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            String::deserialize(deserializer)?;
            Ok(Self(thread::current().id()))
        }
    }

    fn request(body: Body) -> Request {
        Request::builder().header("content-type", "application/json").body(body).unwrap()
    }

    async fn parsed(length: usize) -> ThreadId {
        let text = format!("\"{}\"", "x".repeat(length));
        let JsonBody(Place(thread)) = JsonBody::from_request(request(text.into()), &()).await.unwrap();
        thread
    }

    #[tokio::test]
    async fn long_bodies_are_parsed_beside_the_loop() {
        assert_eq!(parsed(10).await, thread::current().id());
        assert_ne!(parsed(LONG).await, thread::current().id());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = JsonBody::<String>::from_request(request(never), &()).await.err().unwrap();
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
