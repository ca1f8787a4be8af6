//! How a client's requests reach a node: over HTTP, or into a fake cluster's memory.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;

/// One request to a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What is done to the path. Some paths are read with a body.
    pub method: Method,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// The JSON body, if there is one.
    pub body: Option<Value>,
    /// How long the whole reply may take.
    pub within: Duration,
}

/// What is done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// It is read.
    Get,
    /// It is told something.
    Post,
}

impl Request {
    /// Reads a path, within 5 s.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::Get, path: path.into(), body: None, within: REQUEST_TIMEOUT }
    }

    /// Tells a path something, within 5 s.
    #[must_use]
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::Post, body: Some(body), ..Self::get(path) }
    }

    /// Gives the request a body.
    #[must_use]
    pub fn with_body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Gives the reply another time than 5 s.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }
}

/// What a node answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status code.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Carries requests to one node.
pub trait Transport: Send + Sync + 'static {
    /// The address for people and messages.
    fn url(&self) -> &str;

    /// Sends one request and reads the whole reply.
    ///
    /// # Errors
    ///
    /// Whatever kept the reply from coming, its causes included.
    fn send(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Reply, String>> + Send + '_>>;

    /// Opens a stream of lines; the reply has none where its status is no success. By default there are no
    /// streams.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    fn stream(&self, path: &str) -> Pin<Box<dyn Future<Output = Result<Streamed, String>> + Send + '_>> {
        let _ = path;
        Box::pin(async { Ok(Streamed { status: 404, lines: futures::stream::empty().boxed() }) })
    }
}

/// A reply that comes line by line, for as long as both sides live.
pub struct Streamed {
    /// HTTP status code.
    pub status: u16,
    /// The lines without their ends; an error says why there are no more.
    pub lines: BoxStream<'static, Result<String, String>>,
}

debug_as!(Streamed, |this| status: this.status);

/// Carries requests over HTTP.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    base: String,
    client: reqwest::Client,
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A stream lives as long as both sides do.
const STREAM_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl HttpTransport {
    /// Requests go to paths below `base`, such as `http://127.0.0.1:18080`.
    ///
    /// # Panics
    ///
    /// Never: a client without TLS has no start-up that could fail.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        let client = reqwest::Client::builder().no_proxy().build();
        Self { base: base.into(), client: client.expect("a plain HTTP client can always be made") }
    }

    async fn exchange(&self, request: Request) -> Result<Reply, reqwest::Error> {
        let url = format!("{}{}", self.base, request.path);
        let mut builder = match request.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url),
        };
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = builder.timeout(request.within).send().await?;
        Ok(Reply { status: response.status().as_u16(), body: response.bytes().await?.into() })
    }
}

impl Transport for HttpTransport {
    fn url(&self) -> &str {
        &self.base
    }

    fn send(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Reply, String>> + Send + '_>> {
        let within = request.within;
        Box::pin(async move { self.exchange(request).await.map_err(|error| causes(&error, within)) })
    }

    fn stream(&self, path: &str) -> Pin<Box<dyn Future<Output = Result<Streamed, String>> + Send + '_>> {
        let request = self.client.get(format!("{}{path}", self.base)).timeout(STREAM_TIMEOUT);
        Box::pin(async move {
            let response = request.send().await.map_err(|error| causes(&error, STREAM_TIMEOUT))?;
            Ok(Streamed { status: response.status().as_u16(), lines: lines(response) })
        })
    }
}

fn lines(response: reqwest::Response) -> BoxStream<'static, Result<String, String>> {
    let parts = (response, Vec::new());
    let lines = futures::stream::try_unfold(parts, |(mut response, mut bytes): (_, Vec<u8>)| async {
        loop {
            if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = bytes.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                return Ok(Some((line, (response, bytes))));
            }
            match reqwest::Response::chunk(&mut response)
                .await
                .map_err(|error| causes(&error, STREAM_TIMEOUT))?
            {
                Some(chunk) => bytes.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    });
    lines.boxed()
}

/// The error's innermost cause, which says more than the layers around it.
fn causes(error: &reqwest::Error, within: Duration) -> String {
    if error.is_timeout() {
        return format!("no answer within {}", humantime::format_duration(within));
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
