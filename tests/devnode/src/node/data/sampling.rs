//! Whether a blob is available: this node has seen as many shares as restore it.

use std::time::Duration;

use tracing::{debug, info};

use super::Data;
use super::messages::Purpose;
use super::search::Search;
use crate::node::network::Later;
use crate::wire::{BlobId, Block, SignedTransaction};

/// After so long a sample counts as refused. It is tried again in the next slot.
const SAMPLE_WITHIN: Duration = Duration::from_secs(3);

impl Data {
    /// Begins to look for what a transaction publishes, where that is not known already. [`Later::Sampled`] tells
    /// what was found.
    pub(in crate::node) fn sample(&self, transaction: &SignedTransaction) {
        for blob in transaction.blobs() {
            let wanted = (blob.blob, blob.blob_size);
            let mut known = self.known();
            if known.available.contains(&wanted) || !known.sampling.insert(wanted) {
                continue;
            }
            tokio::spawn(self.clone().look_for(blob.blob, blob.blob_size));
        }
    }

    pub(in crate::node) fn sample_block(&self, block: &Block) {
        block.transactions.iter().for_each(|transaction| self.sample(transaction));
    }

    async fn look_for(self, blob: BlobId, size: u64) {
        let is_available = self.is_available(blob, size).await;
        {
            let mut known = self.known();
            known.sampling.remove(&(blob, size));
            if !is_available {
                debug!(%blob, "a blob is not available");
                return;
            }
            known.available.insert((blob, size));
        }
        info!(%blob, "a blob is available");
        // An error says that the node ends.
        drop(self.0.later.send(Later::Sampled));
    }

    async fn is_available(&self, blob: BlobId, size: u64) -> bool {
        let Some(code) = self.0.members.code() else { return false };
        let mut seen = self.0.store.shares(blob, &(0..code.shares).collect::<Vec<_>>());
        let needed = usize::from(code.data_shares);
        if seen.len() < needed {
            let is_seen = |index: &u16| seen.iter().any(|share| share.index() == *index);
            let shares: Vec<_> = (0..code.shares).filter(|index| !is_seen(index)).collect();
            let enough = needed - seen.len();
            let purpose = Purpose::Sampling;
            seen.extend(self.search(Search { blob, shares, enough, purpose, within: SAMPLE_WITHIN }).await);
        }
        let of_size = |share: &&crate::data::Share| share.check(blob).is_ok_and(|it| it.size == size);
        seen.iter().filter(of_size).count() >= needed
    }
}
