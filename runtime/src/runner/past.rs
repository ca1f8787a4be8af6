//! A runner of a run that is over.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::task::JoinSet;

use super::{Runner, clients, recorder};
use crate::context::{Accounts, NodeClients, Notes, SlotClock};
use crate::deployer::DynCluster;
use crate::feed::BlockFeed;
use crate::plan::Genesis;
use crate::replay::{PastCluster, Recording};
use crate::report::{Journal, Phase};
use crate::scenario::Scenario;

impl Runner {
    /// Of a recording, which is played from now on; ready when every node has said something.
    pub(crate) async fn on_recording(
        recording: &Arc<Recording>,
        scenario: &Scenario,
        journal: &Arc<Journal>,
    ) -> Self {
        let record = recording.record();
        let slot = scenario.topology.consensus().slot;
        let key = scenario.key(&record.backend);
        let genesis = Genesis::new(&key, &scenario.topology, &scenario.accounts);
        let cluster: Arc<dyn DynCluster> = Arc::new(PastCluster::new(recording, &scenario.program.http()));
        let names = || record.nodes.iter().map(|(name, _)| name.as_str());
        let feed = BlockFeed::told(names(), Arc::clone(&scenario.program), slot);
        let notes = Notes::new(Arc::clone(&scenario.program), genesis.clone());
        let all = 0..scenario.wallets.unwrap_or(scenario.accounts.len());
        let own = record.neighbours.as_ref().and_then(|it| it.directory.clone());
        let beside_logs = || Some(Path::new(record.logs.first()?).parent()?.to_owned());
        let mut runner = Self {
            scenario: scenario.clone(),
            key,
            genesis,
            backend: record.backend.clone(),
            clients: NodeClients::new(clients(&*cluster, &*scenario.program)),
            directory: journal.directory().to_owned(),
            cluster_directory: own.or_else(beside_logs).unwrap_or_default(),
            phases: Vec::new(),
            accounts: Arc::new(Accounts::own(notes, all, scenario.seed)),
            lease: record.neighbours.as_ref().map_or(0, |it| it.lease),
            contexts: AtomicU64::new(0),
            clock: SlotClock::from(recording.at(record.slot_zero.unwrap_or_default()), slot),
            disturbing: Arc::default(),
            recorder: JoinSet::new(),
            cluster,
            feed,
            journal: Arc::clone(journal),
            recording: Some(Arc::clone(recording)),
        };
        runner.recorder = recorder::record(journal, &runner.feed, &runner.cluster);
        let (recording, feed) = (Arc::clone(recording), runner.feed.clone());
        let disturbing = Arc::clone(&runner.disturbing);
        let played = Arc::clone(&recording);
        runner.recorder.spawn(async move { played.play(&feed, &disturbing).await });
        tokio::select! {
            () = runner.feed.complete(names()) => {}
            () = recording.reached(0, Phase::Capture) => {}
        }
        runner
    }
}
