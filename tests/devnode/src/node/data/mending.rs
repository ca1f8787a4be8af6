//! Shares that this member did not get when they were dispersed, because it was down or cut off: it restores the
//! blob from what others keep, and takes its own share of it.

use std::collections::VecDeque;
use std::time::Duration;

use tracing::{debug, info};

use super::Data;
use super::messages::Purpose;
use super::search::Search;
use crate::data::{Share, encode, restore};
use crate::node::clock::sleep;
use crate::wire::{BlobId, Block, SignedTransaction};

/// What others may take for the shares that restore a blob.
const WITHIN: Duration = Duration::from_secs(4);
/// Until what failed is tried again, and how often it is tried.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const TRIES: u8 = 3;

/// Blobs of which this member has no share, each with the tries that are left.
#[derive(Default)]
pub(super) struct Missed {
    blobs: VecDeque<(BlobId, u8)>,
    is_mending: bool,
}

impl Data {
    /// Has this member look for its share of each blob that a block tells of, where it has none; for one after the
    /// other, since there may be many when it catches up.
    pub(in crate::node) fn mend(&self, block: &Block) {
        let Some(own) = self.0.members.own().filter(|_| !self.0.faults.lose_blobs) else { return };
        let mut known = self.known();
        let blobs = block.transactions.iter().flat_map(SignedTransaction::blobs);
        let missed = blobs.filter(|blob| !self.0.store.has(blob.blob, own));
        known.missed.blobs.extend(missed.map(|blob| (blob.blob, TRIES)));
        if !known.missed.blobs.is_empty() && !known.missed.is_mending {
            known.missed.is_mending = true;
            tokio::spawn(self.clone().mend_all(own));
        }
    }

    fn next_missed(&self) -> Option<(BlobId, u8)> {
        let missed = &mut self.known().missed;
        let next = missed.blobs.pop_front();
        missed.is_mending = next.is_some();
        next
    }

    async fn mend_all(self, own: u16) {
        while let Some((blob, tries)) = self.next_missed() {
            // It may have come meanwhile.
            if self.0.store.has(blob, own) {
                continue;
            }
            match self.restored(blob, own).await {
                Ok(share) => {
                    self.save(blob, share).await;
                    info!(%blob, share = own, "restored a share that was missed");
                }
                Err(reason) if tries > 1 => {
                    debug!(%blob, "a share that was missed cannot be restored yet: {reason}");
                    self.known().missed.blobs.push_back((blob, tries - 1));
                    sleep(AGAIN_AFTER).await;
                }
                Err(reason) => info!(%blob, "a share that was missed cannot be restored: {reason}"),
            }
        }
    }

    /// The share of that place, from others of the blob.
    async fn restored(&self, blob: BlobId, own: u16) -> Result<Share, String> {
        let code = self.0.members.code().ok_or("nobody keeps data")?;
        let shares = (0..code.shares).filter(|index| *index != own).collect();
        let (enough, purpose) = (code.data_shares.into(), Purpose::Sampling);
        let found = self.search(Search { blob, shares, enough, purpose, within: WITHIN }).await;
        let restoring = tokio::task::spawn_blocking(move || encode(&restore(blob, found)?, code));
        let encoded = restoring.await.expect("a panic anywhere ends the process")?;
        encoded.shares.into_iter().nth(own.into()).ok_or_else(|| "there is no such share".to_owned())
    }
}
