//! How clients talk to a host: in this process, or by way of whoever serves a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Input;
use crate::pool::ledger::Client;
use crate::pool::wire::{Link, Reply, Request};

/// Whom one talks to. Cheap to clone; the host ends with the last one, or when it has no owner.
#[derive(Clone)]
pub(crate) struct HostHandle {
    inputs: mpsc::UnboundedSender<Input>,
    clients: Arc<AtomicU64>,
}

impl HostHandle {
    pub(super) fn new(inputs: mpsc::UnboundedSender<Input>) -> Self {
        Self { inputs, clients: Arc::new(AtomicU64::new(1)) }
    }

    /// A new client. What it says goes into `requests`, and what it is told comes out of the receiver.
    pub(crate) fn connect(&self) -> (Client, mpsc::UnboundedReceiver<Reply>) {
        let client = self.clients.fetch_add(1, Ordering::Relaxed);
        let (replies, receiver) = mpsc::unbounded_channel();
        self.tell(Input::Connected { client, replies });
        (client, receiver)
    }

    pub(crate) fn request(&self, client: Client, request: Request) {
        self.tell(Input::Request { client, request });
    }

    pub(crate) fn closed(&self, client: Client) {
        self.tell(Input::Closed { client });
    }

    /// Ends every cluster, whoever uses it, and then the host.
    pub(crate) fn end(&self) {
        self.tell(Input::Ends);
    }

    fn tell(&self, input: Input) {
        // A host that is gone needs to be told nothing; whoever waits for its reply sees that none comes.
        let _ = self.inputs.send(input);
    }

    /// A link within this process. Must be called on a runtime that outlives it.
    pub(crate) fn link(&self) -> Link {
        let (client, replies) = self.connect();
        let (requests, mut said) = mpsc::unbounded_channel();
        let host = self.clone();
        let mut carriers = JoinSet::new();
        let closes = Closes { host: host.clone(), client };
        carriers.spawn(async move {
            let _closes = closes;
            while let Some(request) = said.recv().await {
                host.request(client, request);
            }
        });
        Link { requests, replies, carriers, keeper: None }
    }
}

/// Tells the host that a client is gone, also where the task that carries its words is ended.
struct Closes {
    host: HostHandle,
    client: Client,
}

impl Drop for Closes {
    fn drop(&mut self) {
        self.host.closed(self.client);
    }
}
