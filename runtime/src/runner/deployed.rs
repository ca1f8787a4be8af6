//! From a cluster that is made, or leased, to a runner: when its nodes are ready.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::time::Instant;

use super::{Runner, clients, ready, recorder, torn_down, usable};
use crate::attach::{self, Attachment};
use crate::context::{Accounts, NodeClients, Notes, SlotClock};
use crate::deployer::{ClusterDescription, DynCluster, DynDeployer, NodeEndpoints};
use crate::env;
use crate::failure::{Failure, FailureClass, RunFailed};
use crate::plan::{ClusterKey, Genesis};
use crate::pool::{Granted, Lease};
use crate::report::{Journal, Phase, mask};
use crate::run::{self, BY_HAND, Place};
use crate::scenario::Scenario;
use crate::telemetry::{grafana, identity};

impl Runner {
    /// Deploys the cluster of a scenario, and says how to repeat the run and where its files are.
    pub(crate) async fn deploy(deployer: &dyn DynDeployer, scenario: &Scenario) -> Result<Self, RunFailed> {
        usable(deployer, scenario).await?;
        let place = Place::by_hand().map_err(Failure::from)?;
        eprintln!("seed: {}\nfiles: {}", scenario.seed, place.directory().display());
        let deployed = Self::deploy_at(&place, deployer, scenario).await;
        if let Err(failed) = &deployed {
            place.journal().conclude(false, &failed.failures, None);
        }
        deployed
    }

    async fn deploy_at(
        place: &Place,
        deployer: &dyn DynDeployer,
        scenario: &Scenario,
    ) -> Result<Self, RunFailed> {
        let mut plan = scenario.plan(deployer.name());
        let identity = deployer.identity(&plan).await;
        plan.key = plan.key.running(identity.as_deref().unwrap_or_default());
        let journal = Arc::clone(place.journal());
        recorder::describe(&journal, scenario, &plan.key, deployer.name());
        journal.enter(Phase::Deploy);
        identity.map_err(Failure::from)?;
        let placement = place.placement();
        identity::belongs_to(&mut plan, BY_HAND, &journal.id());
        identity::introduce(&mut plan, run::invocation(), &placement.directory);
        let began = Instant::now();
        let cluster = deployer.provision(&plan, &placement).await.map_err(Failure::from)?;
        let phases = vec![(Phase::Deploy, began.elapsed())];
        let notes = Notes::new(Arc::clone(&scenario.program), plan.genesis.clone());
        let all = 0..scenario.wallets.unwrap_or(scenario.accounts.len());
        let deployed = Deployed {
            accounts: Arc::new(Accounts::own(notes, all, scenario.seed)),
            lease: 0,
            is_first: true,
            key: scenario.key(deployer.name()),
            genesis: plan.genesis,
            backend: deployer.name(),
            cluster: Arc::clone(&cluster),
            cluster_directory: placement.directory,
            journal,
        };
        match deployed.until_ready(scenario, phases).await {
            Ok(runner) => Ok(runner),
            Err(failure) => {
                let mut failures = vec![failure];
                failures.extend(torn_down(&*cluster).await.err());
                Err(RunFailed { failures })
            }
        }
    }

    /// Gets ready to run a scenario on the cluster of a lease, which was waited for.
    pub(crate) async fn on_lease(
        lease: &Lease,
        backend: &str,
        scenario: &Scenario,
        place: &Place,
        waited: Duration,
    ) -> Result<Self, Failure> {
        let key = scenario.key(backend);
        let genesis = Genesis::new(&key, &scenario.topology, &scenario.accounts);
        let journal = Arc::clone(place.journal());
        recorder::describe(&journal, scenario, &lease.key, backend);
        let notes = Notes::new(Arc::clone(&scenario.program), genesis.clone());
        let Granted { grant, directory, .. } = &lease.granted;
        let attached = attach::file(backend);
        let accounts = match (attached, scenario.wallets) {
            (Some(file), _) => Accounts::attached(notes, file.to_owned(), scenario.wallets, scenario.seed)?,
            (None, Some(_)) => Accounts::own(notes, grant.accounts.clone(), scenario.seed),
            (None, None) => Accounts::shared(notes, lease.calls(), scenario.seed),
        };
        let number = attached.map(Attachment::lease).transpose().map_err(|error| {
            Failure::new(FailureClass::Infrastructure, "accounts")
                .expected("the file of the attached cluster to be written")
                .seen(error.to_string())
        })?;
        let deployed = Deployed {
            accounts: Arc::new(accounts),
            lease: number.unwrap_or(grant.number),
            is_first: attached.is_none() && grant.others.is_empty(),
            key,
            genesis,
            backend,
            cluster: Arc::clone(&lease.cluster),
            cluster_directory: directory.clone(),
            journal,
        };
        deployed.until_ready(scenario, vec![(Phase::Queue, waited)]).await
    }
}

/// A cluster of which nothing is known yet.
struct Deployed<'a> {
    key: ClusterKey,
    genesis: Genesis,
    backend: &'a str,
    cluster: Arc<dyn DynCluster>,
    cluster_directory: PathBuf,
    accounts: Arc<Accounts>,
    lease: u64,
    /// Whether nobody used it before.
    is_first: bool,
    journal: Arc<Journal>,
}

impl Deployed<'_> {
    /// Waits until the cluster can be used.
    async fn until_ready(
        self,
        scenario: &Scenario,
        mut phases: Vec<(Phase, Duration)>,
    ) -> Result<Runner, Failure> {
        let Self { key, genesis, backend, cluster, cluster_directory, accounts, lease, is_first, journal } =
            self;
        let name = identity::cluster(&cluster_directory);
        let logs = cluster.description().nodes.iter().map(|node| node.log.clone()).collect();
        journal.describe(|record| {
            record.logs = logs;
            record.grafana = scenario.grafana_url.as_ref().map(|url| grafana::link(url, record, &name));
            record.cluster_name = name;
        });
        journal.enter(Phase::Ready);
        let clock = SlotClock::new(cluster.description(), scenario.topology.consensus().slot);
        journal.describe(|record| record.slot_zero = Some(journal.second_of(clock.start())));
        let began = Instant::now();
        let clients = NodeClients::new(clients(&*cluster, &*scenario.program));
        let ready = ready::until_ready(&*cluster, &clients, scenario, is_first).await;
        phases.push((Phase::Ready, began.elapsed()));
        // What happened before the lease was others' doing.
        let feed = if is_first { ready? } else { ready?.leased() };
        journal.leave();
        if env::settings().print_endpoints {
            print!("{}", endpoints(cluster.description(), &scenario.program.http().port));
            if let Some(url) = &scenario.metrics_query_url {
                println!("TESTNET_ENDPOINTS prometheus={}", mask::text(url.as_str()));
            }
            if let Some(url) = journal.record().grafana {
                println!("TESTNET_ENDPOINTS grafana={}", mask::text(&url));
            }
        }
        let recorder = recorder::record(&journal, &feed, &cluster);
        Ok(Runner {
            accounts,
            lease,
            contexts: AtomicU64::new(0),
            scenario: scenario.clone(),
            key,
            genesis,
            backend: backend.to_owned(),
            cluster,
            clients,
            feed,
            directory: journal.directory().to_owned(),
            cluster_directory,
            phases,
            clock,
            disturbing: Arc::default(),
            journal,
            recorder,
            recording: None,
        })
    }
}

/// A line for each node: its name, and where its HTTP answers.
fn endpoints(cluster: &ClusterDescription, port: &str) -> String {
    let line = |node: &NodeEndpoints| {
        let address = node.addresses.get(port)?;
        Some(format!("TESTNET_ENDPOINTS {}=http://{address}\n", node.name))
    };
    cluster.nodes.iter().filter_map(line).collect()
}
