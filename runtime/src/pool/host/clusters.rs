//! How a host makes clusters and ends them: in tasks of their own, whose end is told however they end.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinError};

use super::{Host, Input, lost, note};
use crate::deployer::{Backend, DynCluster};
use crate::failure::{Failure, FailureClass};
use crate::node::NodeProgram;
use crate::pool::budget::Budget;
use crate::pool::gate::Gate;
use crate::pool::ledger::{ClusterId, Event};
use crate::pool::wire::{Answer, Order, Reply, Request};
use crate::run::Place;
use crate::runner::panic_text;
use crate::telemetry::identity;

/// What a host that ends may take to end its clusters.
const ENDING: Duration = Duration::from_secs(60);

/// A cluster that was made, and the room it takes.
pub(super) struct Made {
    pub(super) cluster: Arc<dyn DynCluster>,
    pub(super) gate: Arc<Gate>,
    pub(super) budget: Budget,
    pub(super) place: Place,
}

impl Host {
    /// Ends every cluster, and gives up those that are not made yet.
    pub(super) async fn end(mut self) {
        let ends = self.deploying.len();
        self.deploying.values().for_each(AbortHandle::abort);
        for state in self.clients.values_mut() {
            let asked = std::mem::take(&mut state.asked).into_iter();
            asked.for_each(|id| state.reply(Reply::Answer { id, answer: Answer::Failed(lost()) }));
        }
        for (cluster, made) in std::mem::take(&mut self.made) {
            self.end_made(cluster, made);
        }
        let all = async {
            while !(self.deploying.is_empty() && self.ending.is_empty()) {
                match self.received.recv().await {
                    Some(Input::Made { cluster, made }) => {
                        self.deploying.remove(&cluster);
                        made.into_iter().for_each(|made| self.end_made(cluster, made));
                    }
                    Some(Input::TornDown { cluster, .. }) => self.torn_down(cluster),
                    // Nobody waits for an answer until all clusters are gone.
                    Some(Input::Request { client, request: Request::Call { id, .. } }) => {
                        self.reply(client, Reply::Answer { id, answer: Answer::Failed(lost()) });
                    }
                    _ => {}
                }
            }
        };
        let ended = tokio::time::timeout(ENDING, all).await;
        let how = ended.map_or("with clusters that do not end", |()| "with all its clusters");
        note(self.tells, format_args!("ends, {how}; {ends} deployments were given up"));
    }

    pub(super) fn made(&mut self, cluster: ClusterId, made: Result<Made, Failure>) {
        let is_given_up = self.ending.contains(&cluster);
        self.deploying.remove(&cluster);
        match made {
            Ok(made) if is_given_up => self.end_made(cluster, made),
            Err(_) if is_given_up => self.handle(Input::TornDown { cluster, left: None }),
            Ok(made) => {
                self.made.insert(cluster, made);
                self.happened(Event::Deployed { cluster });
            }
            Err(failure) => {
                self.torn_down(cluster);
                self.happened(Event::DeployFailed { cluster, failure });
            }
        }
    }

    pub(super) fn deploy(&mut self, cluster: ClusterId, order: Order) {
        let (nodes, key) = (order.plan.nodes.len(), &order.plan.key);
        note(self.tells, format_args!("cluster {cluster} of {nodes} nodes is deployed: {key}"));
        self.backend_of.insert(cluster, order.backend.clone());
        let (backends, program, most) = (Arc::clone(&self.backends), Arc::clone(&self.program), self.most);
        let inputs = self.inputs.clone();
        let lacks_room = move |others| _ = inputs.send(Input::Happened(Event::LacksRoom { cluster, others }));
        let deployment = async move { made(order, &backends, program, most, lacks_room).await };
        let deployment = self.begin(deployment, move |ended| match ended {
            Ok(made) => Input::Made { cluster, made },
            // What was made so far went with the future that made it.
            Err(ended) if ended.is_cancelled() => Input::TornDown { cluster, left: None },
            Err(panic) => Input::Made { cluster, made: Err(panicked_deployment(panic)) },
        });
        self.deploying.insert(cluster, deployment);
    }

    pub(super) fn tear_down(&mut self, cluster: ClusterId) {
        self.ending.insert(cluster);
        if self.ordered.remove(&cluster).is_some() {
            let _ = self.inputs.send(Input::TornDown { cluster, left: None });
        } else if let Some(deployment) = self.deploying.get(&cluster) {
            deployment.abort();
        } else if let Some(made) = self.made.remove(&cluster) {
            self.end_made(cluster, made);
        }
    }

    fn end_made(&mut self, cluster: ClusterId, made: Made) {
        self.ending.insert(cluster);
        let tells = self.tells;
        self.begin(ended(made), move |ended| {
            let left = ended.unwrap_or_else(|panic| Err(panicked("its teardown", panic))).err();
            let but = left.as_ref().map(|left| format!(", but for what is left: {left}")).unwrap_or_default();
            note(tells, format_args!("cluster {cluster} is gone{but}"));
            Input::TornDown { cluster, left }
        });
    }

    pub(super) fn torn_down(&mut self, cluster: ClusterId) {
        self.deploying.remove(&cluster);
        self.ending.remove(&cluster);
        self.backend_of.remove(&cluster);
    }

    /// Begins a task whose end is told, however it ends.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
        tell: impl FnOnce(Result<T, JoinError>) -> Input + Send + 'static,
    ) -> AbortHandle {
        let (inputs, task) = (self.inputs.clone(), tokio::spawn(task));
        let abort = task.abort_handle();
        tokio::spawn(async move {
            let _ = inputs.send(tell(task.await));
        });
        abort
    }
}

/// Makes a cluster when there is room for it; `lacks_room` hears who has that where there is none yet.
async fn made(
    order: Order,
    backends: &[Backend],
    program: Arc<dyn NodeProgram>,
    most: usize,
    lacks_room: impl Fn(Option<String>),
) -> Result<Made, Failure> {
    let Order { mut plan, invocation, health, backend } = order;
    let known = backends.iter().find(|known| known.id() == backend).ok_or_else(|| unknown(&backend))?;
    let budget = Budget::take(plan.nodes.len(), most, lacks_room).await?;
    let place = Place::of_cluster(&plan.key.to_string(), &invocation)?;
    identity::introduce(&mut plan, &invocation, place.directory());
    let provisioned = known.deployer().provision(&plan, &place.placement()).await;
    let cluster = provisioned.map_err(|error| {
        place.remove_empty();
        Failure::from(error)
    })?;
    let gate = Arc::new(Gate::new(Arc::clone(&cluster), program, &plan, health));
    Ok(Made { cluster, gate, budget, place })
}

fn unknown(backend: &str) -> Failure {
    Failure::new(FailureClass::Infrastructure, "deploy")
        .expected(format!("a backend `{backend}`"))
        .seen("this process has none of that name")
        .try_next("give two deployers of one program different names")
}

/// Tears a cluster down; its room is free afterwards.
async fn ended(made: Made) -> Result<(), String> {
    let Made { cluster, gate, budget, place } = made;
    drop(gate);
    let torn_down = cluster.teardown().await.map_err(|error| error.to_string());
    drop(budget);
    place.remove_empty();
    torn_down
}

/// What a task says that did not come to its end.
pub(super) fn panicked(what: &str, ended: JoinError) -> String {
    match ended.try_into_panic() {
        Ok(panic) => format!("{what} panicked: {}", panic_text(&*panic)),
        Err(ended) => format!("{what} was ended: {ended}"),
    }
}

fn panicked_deployment(panic: JoinError) -> Failure {
    Failure::new(FailureClass::Infrastructure, "deploy")
        .expected("a cluster, or an error that says why there is none")
        .seen(panicked("the deployer", panic))
        .try_next(
            "look whether its node program can plan this scenario; else it is a mistake of the deployer's",
        )
}
