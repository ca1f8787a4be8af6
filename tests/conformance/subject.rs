//! What is tested: a backend with a node program it can run; and what the tests ask of its clusters.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use logos_scenario::deployer::{Cluster, NodeEndpoints, NodeState, NodeStatus, Placement};
use logos_scenario::failure::Problem;
use logos_scenario::fake::{FakeDeployer, FakeProgram};
use logos_scenario::plan::{NodePlanning, Plan, PlannedNode};
use logos_scenario::topology::TopologyBuilder;
use logos_scenario::{
    AnyCluster, Backend, ChainAgreement, Deployer, HeaderId, NodeClient, NodeProgram, ScenarioBuilder,
    ScenarioBuilderExt, Topology, wait,
};
use logos_scenario_devnode::Devnode;
use tempfile::TempDir;

/// How long anything may take on a loaded machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);
/// How long what is left may need to go, by the contract.
pub(crate) const GONE_WITHIN: Duration = Duration::from_secs(10);
const SLOT: Duration = Duration::from_millis(200);

/// A backend, with the node program of its clusters.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) backend: Backend,
    program: fn(ScenarioBuilder) -> ScenarioBuilder,
    planned: fn(&NodePlanning<'_>) -> Result<PlannedNode, Problem>,
}

/// Every backend of this build, and the one in memory.
pub(crate) fn subjects() -> Vec<Subject> {
    let devnode: fn(ScenarioBuilder) -> ScenarioBuilder =
        |builder| builder.with_program(Devnode::at(env!("CARGO_BIN_EXE_devnode")));
    let real = logos_scenario::backends().into_iter().map(|backend| Subject {
        backend,
        program: devnode,
        planned: |node| Devnode::at(env!("CARGO_BIN_EXE_devnode")).plan(node),
    });
    let fake = Subject {
        backend: Backend::new(FakeDeployer::default()),
        program: |builder| builder.with_program(FakeProgram),
        planned: |node| FakeProgram.plan(node),
    };
    real.chain([fake]).collect()
}

impl Subject {
    /// The plan of a topology, which gets short slots.
    pub(crate) fn plan(&self, topology: TopologyBuilder) -> anyhow::Result<Plan> {
        let builder = ScenarioBuilder::with_topology(topology.slot(SLOT));
        let scenario = (self.program)(builder).with_expectation(ChainAgreement::default()).build()?;
        Ok(scenario.plan(self.backend.name()))
    }

    /// A node of a plan as it would be if it were one of another topology.
    pub(crate) fn replanned(
        &self,
        plan: &Plan,
        topology: TopologyBuilder,
        node: &str,
    ) -> anyhow::Result<PlannedNode> {
        let builder = ScenarioBuilder::with_topology(topology.slot(SLOT));
        let scenario = (self.program)(builder).with_expectation(ChainAgreement::default()).build()?;
        let index = plan.nodes.iter().position(|planned| planned.name == node).context("it is planned")?;
        let planning = NodePlanning { topology: scenario.topology(), genesis: &plan.genesis, index };
        (self.planned)(&planning).map_err(|problem| anyhow!("{problem}"))
    }

    /// The cluster of a topology whose links lead through a relay, and whose nodes all answer.
    pub(crate) async fn relayed(&self, topology: TopologyBuilder) -> anyhow::Result<Fixture> {
        // Nothing is final while links are cut, however long that takes, so that all can agree afterwards.
        let topology = topology.slot(SLOT).security_param(1_000);
        let builder = ScenarioBuilder::with_topology(topology).enable_faults();
        let scenario = (self.program)(builder).with_expectation(ChainAgreement::default()).build()?;
        let fixture = self.provision(&scenario.plan(self.backend.name())).await?;
        for node in fixture.names() {
            fixture.answers(&node).await?;
        }
        Ok(fixture)
    }

    /// The cluster of a plan, in a directory of its own.
    pub(crate) async fn provision(&self, plan: &Plan) -> anyhow::Result<Fixture> {
        let (directory, place) = placement()?;
        let cluster = self.backend.provision(plan, &place).await?;
        Ok(Fixture { cluster, _directory: directory })
    }

    /// The cluster of a topology whose nodes all answer.
    pub(crate) async fn answering(&self, topology: TopologyBuilder) -> anyhow::Result<Fixture> {
        let fixture = self.provision(&self.plan(topology)?).await?;
        for node in fixture.names() {
            fixture.answers(&node).await?;
        }
        Ok(fixture)
    }
}

/// A place for a cluster, which lasts as long as the directory.
pub(crate) fn placement() -> anyhow::Result<(TempDir, Placement)> {
    let directory = tempfile::tempdir()?;
    let labels = [("invocation".to_owned(), format!("conformance-{}", std::process::id()))].into();
    let place = Placement { directory: directory.path().to_owned(), labels };
    Ok((directory, place))
}

/// So many validators.
pub(crate) fn validators(count: usize) -> TopologyBuilder {
    Topology::with_node_counts(count, 0)
}

/// A cluster and its directory.
pub(crate) struct Fixture {
    pub(crate) cluster: AnyCluster,
    _directory: TempDir,
}

impl Fixture {
    pub(crate) fn names(&self) -> Vec<String> {
        self.cluster.description().nodes.iter().map(|node| node.name.clone()).collect()
    }

    fn endpoints(&self, node: &str) -> &NodeEndpoints {
        let mut nodes = self.cluster.description().nodes.iter();
        nodes.find(|endpoints| endpoints.name == node).expect("the test names a node of its plan")
    }

    pub(crate) fn client(&self, node: &str) -> NodeClient {
        let endpoints = self.endpoints(node);
        NodeClient::new(node, endpoints.role, self.cluster.connect(&endpoints.addresses["http"]))
    }

    pub(crate) async fn state(&self, node: &str) -> anyhow::Result<NodeState> {
        let states = self.cluster.states(0).await?;
        states
            .nodes
            .into_iter()
            .find(|state| state.name == node)
            .with_context(|| format!("no state of {node}"))
    }

    pub(crate) async fn expect_status(&self, node: &str, expected: &NodeStatus) -> anyhow::Result<()> {
        let status = self.state(node).await?.status;
        anyhow::ensure!(status == *expected, "{node} is {status}, expected {expected}");
        Ok(())
    }

    /// Waits until the node's chain has a height.
    pub(crate) async fn reaches(&self, node: &str, height: u64) -> anyhow::Result<()> {
        let client = self.client(node);
        let probe = || async {
            match client.consensus_info().await {
                Ok(info) if info.height >= height => Ok(()),
                Ok(info) => Err(format!("height {}", info.height)),
                Err(error) => Err(error.to_string()),
            }
        };
        wait::until(&format!("{node} at height {height}"), WITHIN, probe)
            .await
            .map_err(|error| anyhow!("{error}"))
    }

    pub(crate) async fn answers(&self, node: &str) -> anyhow::Result<()> {
        self.reaches(node, 0).await
    }

    /// The height and the tip of a node's chain.
    pub(crate) async fn tip(&self, node: &str) -> anyhow::Result<(u64, HeaderId)> {
        let info = self.client(node).consensus_info().await?;
        Ok((info.height, info.tip))
    }

    /// Waits until every node has the tip of the first one, which may be another each time it is asked.
    pub(crate) async fn agrees(&self) -> anyhow::Result<()> {
        let agree = || async {
            let (height, tip) = self.tip("validator-0").await.map_err(|error| error.to_string())?;
            for node in self.names() {
                let block =
                    self.client(&node).block(tip).await.map_err(|error| format!("{node}: {error}"))?;
                block.ok_or_else(|| format!("{node} has not block {height} of validator-0"))?;
            }
            Ok::<_, String>(())
        };
        wait::until("all nodes to agree", WITHIN, agree).await.map_err(|error| anyhow!("{error}"))
    }

    /// Asks once, and demands that no answer comes.
    pub(crate) async fn is_silent(&self, node: &str) -> anyhow::Result<()> {
        let client = self.client(node);
        match tokio::time::timeout(Duration::from_secs(1), client.consensus_info()).await {
            Ok(Ok(info)) => bail!("{node} answers, at height {}", info.height),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }
}
