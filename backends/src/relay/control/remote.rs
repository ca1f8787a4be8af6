//! A relay in another process, as its cluster tells it.

use std::time::Duration;

use logos_scenario_runtime::deployer::{ClusterError, DeployError};
use logos_scenario_runtime::wait;
use tokio::net::TcpStream;

use super::{Answer, Order, read, within, write};
use crate::relay::ways::RELAY;

/// A relay that answers.
#[derive(Debug)]
pub(crate) struct Remote {
    /// `host:port`.
    at: String,
}

impl Remote {
    /// Waits until the relay there answers; `look` is what to try if it does not.
    pub(crate) async fn answering(at: String, patience: Duration, look: String) -> Result<Self, DeployError> {
        let relay = Self { at };
        let answers = || async { relay.tell(&Order::Links).await.map(drop).map_err(|error| error.what) };
        let answered = wait::until("the relay to answer", patience, answers).await;
        answered.map_err(|timed_out| DeployError::new(RELAY, timed_out, look))?;
        Ok(relay)
    }

    /// Tells a relay, where there is one.
    pub(crate) async fn told(relay: Option<&Self>, order: &Order) -> Result<Answer, ClusterError> {
        relay.ok_or_else(ClusterError::no_relay)?.tell(order).await
    }

    async fn tell(&self, order: &Order) -> Result<Answer, ClusterError> {
        let answered = async {
            let mut stream = TcpStream::connect(&self.at).await?;
            write(&mut stream, order).await?;
            read(&mut stream).await
        };
        within(answered).await.map_err(|error| ClusterError {
            subject: RELAY.to_owned(),
            what: format!("does not answer at {}: {error}", self.at),
        })
    }
}
