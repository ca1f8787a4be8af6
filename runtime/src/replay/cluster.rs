//! The cluster of a run that is over: its nodes' states and logs are those of the moment, whatever is done to them was
//! done already, and nobody answers.

use std::fs;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Recording;
use crate::deployer::{
    Cluster, ClusterDescription, ClusterError, Log, LogPart, NodeAction, NodeEndpoints, States, Usage,
};
use crate::faults::{LinkState, NetworkFault};
use crate::node::{HttpDialect, Reply, Request, Streamed, Transport};
use crate::plan::PlannedNode;
use crate::report::logged_at;

/// A cluster that was.
pub(crate) struct PastCluster {
    recording: Arc<Recording>,
    description: ClusterDescription,
}

impl PastCluster {
    pub(crate) fn new(recording: &Arc<Recording>, http: &HttpDialect) -> Self {
        let record = recording.record();
        let ports = [Some(&http.port), http.testing_port.as_ref()];
        let endpoints = |((name, role), log): (&(String, _), &String)| NodeEndpoints {
            name: name.clone(),
            role: *role,
            addresses: ports.into_iter().flatten().map(|port| (port.clone(), name.clone())).collect(),
            log: log.clone(),
        };
        let description = ClusterDescription {
            start_time: SystemTime::UNIX_EPOCH,
            seen_slot: None,
            nodes: record.nodes.iter().zip(&record.logs).map(endpoints).collect(),
        };
        Self { recording: Arc::clone(recording), description }
    }

    fn lacks(&self, subject: &str, what: String) -> ClusterError {
        self.recording.lacks(format!("{subject}: {what}"));
        ClusterError { subject: subject.to_owned(), what }
    }
}

impl Cluster for PastCluster {
    fn description(&self) -> &ClusterDescription {
        &self.description
    }

    async fn states(&self, newer_than: u64) -> Result<States, ClusterError> {
        let mut states = self.recording.states.subscribe();
        // The sender lives as long as the recording.
        let known = states.wait_for(|states| states.version > newer_than).await;
        Ok(known.map(|states| states.clone()).unwrap_or_default())
    }

    async fn control(&self, _: &str, _: NodeAction) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn replan(&self, _: PlannedNode) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn disturb(&self, _: Vec<NetworkFault>) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn links(&self) -> Result<Vec<LinkState>, ClusterError> {
        Err(self.lacks("links", "what passed them is in no file".to_owned()))
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        let Some(endpoints) = self.description.nodes.iter().find(|it| it.name == node) else {
            let names = self.description.nodes.iter().map(|it| it.name.as_str());
            return Err(ClusterError::no_such_node(node, names));
        };
        let whole = fs::read(&endpoints.log).map_err(|error| {
            self.lacks(node, format!("its log cannot be read at {}: {error}", endpoints.log))
        })?;
        let end = written_by(&whole, self.recording.wall_time())
            .ok_or_else(|| self.lacks(node, "its log does not say when its lines were written".to_owned()))?;
        Ok(Log::part(&whole[..end], part))
    }

    async fn usage(&self, node: &str) -> Result<Option<Usage>, ClusterError> {
        Err(self.lacks(node, "what its process uses is in no file".to_owned()))
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        Ok(())
    }

    fn connect(&self, address: &str) -> Arc<dyn Transport> {
        Arc::new(Gone { node: address.to_owned(), recording: Arc::clone(&self.recording) })
    }
}

/// How much of a log was written by some time; `None` where no line says when it was.
fn written_by(log: &[u8], time: SystemTime) -> Option<usize> {
    // Nodes' clocks tell microseconds, and the run's files milliseconds.
    let time = time + Duration::from_millis(1);
    let mut end = 0;
    let mut is_timed = log.is_empty();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let at = logged_at(&String::from_utf8_lossy(line));
        is_timed |= at.is_some();
        if at.is_some_and(|at| at > time) {
            break;
        }
        end += line.len();
    }
    is_timed.then_some(end)
}

/// A node of the past.
struct Gone {
    node: String,
    recording: Arc<Recording>,
}

impl Gone {
    fn refuse<T>(&self, path: &str) -> Result<T, String> {
        self.recording.lacks(format!("{}: its answer to `{path}` is in no file", self.node));
        Err("the run is over".to_owned())
    }
}

impl Transport for Gone {
    fn url(&self) -> &str {
        &self.node
    }

    fn send(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Reply, String>> + Send + '_>> {
        Box::pin(async move { self.refuse(&request.path) })
    }

    fn stream(&self, path: &str) -> Pin<Box<dyn Future<Output = Result<Streamed, String>> + Send + '_>> {
        let refused = self.refuse(path);
        Box::pin(async { refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_as_long_as_it_was() {
        let log = b"2026-01-01T00:00:00Z INFO one\nand more\n2026-01-01T00:00:02Z INFO two\n";
        let after = |seconds| {
            let begin = humantime::parse_rfc3339_weak("2026-01-01T00:00:00Z").unwrap();
            let end = written_by(log, begin + Duration::from_secs(seconds))?;
            Some(String::from_utf8_lossy(&log[..end]).lines().count())
        };
        assert_eq!([0, 1, 2].map(after), [Some(2), Some(2), Some(3)]);
        assert_eq!(written_by(b"a line\n", SystemTime::now()), None);
        assert_eq!(written_by(b"", SystemTime::now()), Some(0));
    }
}
