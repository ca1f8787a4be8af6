//! How a client's requests reach a node: over HTTP, or into a fake cluster's memory.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde_json::Value;

/// One request to a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Path and query, beginning with `/`.
    pub path: String,
    /// The JSON body of a POST; a GET has none.
    pub body: Option<Value>,
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
}

/// Carries requests over HTTP; each has 5 s.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    base: String,
    client: reqwest::Client,
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

impl HttpTransport {
    /// Requests go to paths below `base`, such as `http://127.0.0.1:18080`.
    ///
    /// # Panics
    ///
    /// Never: a client without TLS has no start-up that could fail.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).no_proxy().build();
        Self { base: base.into(), client: client.expect("a plain HTTP client can always be made") }
    }

    async fn exchange(&self, request: Request) -> Result<Reply, reqwest::Error> {
        let url = format!("{}{}", self.base, request.path);
        let builder = match &request.body {
            Some(body) => self.client.post(url).json(body),
            None => self.client.get(url),
        };
        let response = builder.send().await?;
        Ok(Reply { status: response.status().as_u16(), body: response.bytes().await?.into() })
    }
}

impl Transport for HttpTransport {
    fn url(&self) -> &str {
        &self.base
    }

    fn send(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Reply, String>> + Send + '_>> {
        Box::pin(async move { self.exchange(request).await.map_err(|error| causes(&error)) })
    }
}

/// The error's innermost cause, which says more than the layers around it.
fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", REQUEST_TIMEOUT.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
