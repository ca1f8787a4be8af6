//! Clients of a cluster's nodes, all of them or by role and name.

use std::sync::Arc;

use rand::seq::{IndexedRandom, SliceRandom};

use crate::node::{ClientError, NodeClient};
use crate::topology::Role;

/// Clients of all nodes.
///
/// ```
/// # use logos_scenario_runtime::fake;
/// # fake::in_no_time(async {
/// # let (runner, scenario) = fake::example().await?;
/// let clients = runner.node_clients();
/// assert_eq!(clients.validator_clients().len(), 2);
/// let executor = clients.by_name("executor-0").ok_or("there is one")?;
/// println!("{}", executor.consensus_info().await?.height);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct NodeClients(Arc<[NodeClient]>);

impl NodeClients {
    pub(crate) fn new(clients: Vec<NodeClient>) -> Self {
        Self(clients.into())
    }

    /// All of them, validators first.
    #[must_use]
    pub fn all(&self) -> &[NodeClient] {
        &self.0
    }

    /// Those of one role.
    #[must_use]
    pub fn with_role(&self, role: Role) -> Vec<&NodeClient> {
        self.0.iter().filter(|client| client.role() == role).collect()
    }

    /// Those of validators: `with_role(Role::Validator)`.
    #[must_use]
    pub fn validator_clients(&self) -> Vec<&NodeClient> {
        self.with_role(Role::Validator)
    }

    /// Those of executors: `with_role(Role::Executor)`.
    #[must_use]
    pub fn executor_clients(&self) -> Vec<&NodeClient> {
        self.with_role(Role::Executor)
    }

    /// The one of a node, by its name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&NodeClient> {
        self.0.iter().find(|client| client.name() == name)
    }

    /// A random one.
    ///
    /// # Panics
    ///
    /// Never: a topology has a node.
    pub fn any(&self, rng: &mut impl rand::Rng) -> &NodeClient {
        self.0.choose(rng).expect("a topology has at least one node")
    }

    /// Asks one node after the other, beginning with a random one, until one answers.
    ///
    /// # Errors
    ///
    /// The first error that says the node did answer, or the last one if none did.
    pub async fn try_all<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        rng: &mut impl rand::Rng,
        mut ask: impl FnMut(NodeClient) -> F,
    ) -> Result<T, ClientError> {
        let mut order = self.0.to_vec();
        order.shuffle(rng);
        let last = order.pop().expect("a topology has at least one node");
        for client in order {
            match ask(client).await {
                Err(error) if error.is_unreachable() => {}
                answer => return answer,
            }
        }
        ask(last).await
    }
}
