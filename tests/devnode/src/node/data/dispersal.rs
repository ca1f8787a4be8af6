//! Spreading a blob over the members: an executor offers, members fetch, check, store and acknowledge.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use libp2p::gossipsub::MessageAcceptance;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::messages::{Offer, Purpose, Query, Said, Stored};
use super::search::Search;
use super::{Data, MAX_STAGED, Order};
use crate::data::{Dispersal, Encoded, Share, encode, publisher};
use crate::mempool::Rejection;
use crate::node::state::{Shared, State};
use crate::wire::{BlobId, SignedTransaction};

/// Until members that were absent are offered the blob again.
const OFFER_AGAIN: Duration = Duration::from_secs(2);
/// How long more than half of the members are waited for once so many have acknowledged that the blob can be restored.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the others are waited for then.
const GRACE: Duration = Duration::from_millis(300);
const FETCH_WITHIN: Duration = Duration::from_secs(5);
/// Until the channel has the message that the blob follows. The executor may hear of it later than who asks.
const PARENT_WITHIN: Duration = Duration::from_secs(5);

/// Dispersals that wait for members.
#[derive(Default)]
pub(super) struct Acknowledgements(Vec<(BlobId, UnboundedSender<u16>)>);

impl Acknowledgements {
    fn of(&mut self, blob: BlobId) -> UnboundedReceiver<u16> {
        let (sender, receiver) = unbounded_channel();
        self.0.push((blob, sender));
        receiver
    }

    fn tell(&mut self, blob: BlobId, share: u16) {
        self.0.retain(|(_, waits)| !waits.is_closed());
        for (_, waits) in self.0.iter().filter(|(other, _)| *other == blob) {
            // An error says that it waits no more.
            let _: Result<(), _> = waits.send(share);
        }
    }

    fn is_awaited(&self, blob: BlobId) -> bool {
        self.0.iter().any(|(other, waits)| *other == blob && !waits.is_closed())
    }
}

impl Data {
    /// Spreads data and publishes it. The same request once more finds that it is published already.
    pub(super) async fn disperse(
        &self,
        state: &Shared,
        submitted: &UnboundedSender<Arc<SignedTransaction>>,
        dispersal: &Dispersal,
    ) -> Result<BlobId, String> {
        let code = self.0.members.code().ok_or("nobody keeps data, `data.members` names no node")?;
        if dispersal.signer != publisher().public() {
            return Err(format!("executors publish in the name of {}", publisher().public()));
        }
        let (began, data) = (SystemTime::now(), dispersal.data.clone());
        // It takes a while where there is much of it.
        let coding = tokio::task::spawn_blocking(move || encode(&data, code));
        let encoded = coding.await.expect("a panic anywhere ends the process")?;
        let blob = encoded.commitment.blob();
        if self.0.faults.drop_dispersals {
            warn!(%blob, "fault drop_dispersals: acknowledged a blob and dropped it");
            return Ok(blob);
        }
        let publication = Arc::new(dispersal.publication(blob));
        let is_published = {
            let (state, id) = (state.lock(), publication.id());
            state.mempool.contains(&id) || state.chain.inclusion(&id).is_some()
        };
        if !is_published {
            // What the chain would refuse is kept by nobody.
            judged(state, |state| state.mempool.judge(&publication)).await?;
            self.spread(encoded, code.data_shares.into()).await?;
            publish(state, submitted, &publication).await?;
            let mut state = state.lock();
            state.counters.blobs_dispersed += 1;
            state.spans.dispersed(&blob, began, dispersal.data.len());
        }
        Ok(blob)
    }

    /// Offers a blob until `enough` members have stored their shares, so that it can be restored from these; more than
    /// half of the members are waited for longer than the others.
    async fn spread(&self, encoded: Encoded, enough: usize) -> Result<(), String> {
        let blob = encoded.commitment.blob();
        let mut come = self.known().acknowledgements.of(blob);
        let mut stored = BTreeSet::new();
        if let Some(own) = self.0.members.own() {
            self.save(blob, encoded.shares[usize::from(own)].clone()).await;
            stored.insert(own);
        }
        self.stage(blob, encoded.shares);
        let (all, most) = (self.0.members.count(), self.0.members.most());
        let began = Instant::now();
        let waits = |count: usize| match count {
            count if count >= most => GRACE,
            count if count >= enough => PATIENCE,
            _ => self.0.give_up,
        };
        let (mut until, mut offer_at) = (began + waits(stored.len()), began);
        while stored.len() < all && Instant::now() < until {
            if offer_at <= Instant::now() {
                self.offer(blob);
                offer_at += OFFER_AGAIN;
            }
            if let Ok(Some(share)) = timeout_at(until.min(offer_at), come.recv()).await
                && stored.insert(share)
            {
                until = until.min(Instant::now() + waits(stored.len()));
            }
        }
        let count = stored.len();
        info!(%blob, "{count} of {all} members have stored a blob, after {:?}", began.elapsed());
        if count >= enough {
            return Ok(());
        }
        Err(format!("{count} of {all} members have stored their shares, it takes {enough}"))
    }

    fn offer(&self, blob: BlobId) {
        let executor = self.0.key.public();
        self.say(&Said::Offer(Offer { blob, executor, number: rand::random() }));
    }

    fn say(&self, said: &Said) {
        self.order(Order::Say(serde_json::to_vec(said).expect("messages are plain data")));
    }

    /// Has the shares of a blob at hand for members that fetch them, also late.
    fn stage(&self, blob: BlobId, shares: Vec<Share>) {
        let mut known = self.known();
        known.staged.retain(|(other, _)| *other != blob);
        known.staged.push_back((blob, shares));
        let size = |shares: &[Share]| shares.iter().map(Share::length).sum::<usize>();
        let mut total: usize = known.staged.iter().map(|(_, shares)| size(shares)).sum();
        while total > MAX_STAGED
            && let Some((oldest, shares)) = known.staged.front()
            && !known.acknowledgements.is_awaited(*oldest)
        {
            total -= size(shares);
            known.staged.pop_front();
        }
    }

    pub(super) fn staged(&self, query: &Query) -> Vec<Share> {
        let known = self.known();
        let staged = known.staged.iter().find(|(blob, _)| *blob == query.blob);
        let shares = staged.into_iter().flat_map(|(_, shares)| shares);
        shares.filter(|share| query.shares.contains(&share.index())).cloned().collect()
    }

    /// Hears what is gossiped. Returns whether it is to be passed on.
    pub(in crate::node) fn hear(&self, message: &[u8]) -> MessageAcceptance {
        match serde_json::from_slice(message) {
            Ok(Said::Offer(offer)) => {
                if let Some(own) = self.0.members.own() {
                    tokio::spawn(self.clone().accept(offer, own));
                }
                MessageAcceptance::Accept
            }
            Ok(Said::Stored(stored)) => {
                let member = self.0.members.key(stored.share);
                if !member.is_some_and(|member| stored.is_by(&member)) {
                    return MessageAcceptance::Reject;
                }
                self.known().acknowledgements.tell(stored.blob, stored.share);
                MessageAcceptance::Accept
            }
            Err(error) => {
                debug!("refused a message about data: {error}");
                MessageAcceptance::Reject
            }
        }
    }

    /// Fetches, checks, stores and acknowledges this member's share.
    async fn accept(self, offer: Offer, own: u16) {
        let blob = offer.blob;
        if !self.0.store.has(blob, own) {
            let purpose = Purpose::Dispersal { executor: offer.executor };
            let search = Search { blob, shares: vec![own], enough: 1, purpose, within: FETCH_WITHIN };
            let Some(share) = self.search(search).await.pop() else {
                return debug!(%blob, "a share that was offered cannot be had");
            };
            self.save(blob, share).await;
            debug!(%blob, share = own, "stored a share");
        }
        self.say(&Said::Stored(Stored::new(&offer, own, &self.0.key)));
    }
}

/// Hands a publication in, to be passed on.
async fn publish(
    state: &Shared,
    submitted: &UnboundedSender<Arc<SignedTransaction>>,
    publication: &Arc<SignedTransaction>,
) -> Result<(), String> {
    if judged(state, |state| state.submit(publication)).await?.is_some_and(|pass_on| pass_on) {
        // An error says that the node ends.
        drop(submitted.send(publication.clone()));
    }
    Ok(())
}

/// What a publication is judged to be once the channel has what it follows, if it has that soon; `None` where it is
/// known already.
async fn judged<T>(
    state: &Shared,
    judge: impl Fn(&mut State) -> Result<T, Rejection>,
) -> Result<Option<T>, String> {
    let mut blocks = state.lock().streams.watch_blocks();
    let by = Instant::now() + PARENT_WITHIN;
    loop {
        let refusal = match judge(&mut state.lock()) {
            Ok(judged) => return Ok(Some(judged)),
            Err(Rejection::Known) => return Ok(None),
            Err(Rejection::Invalid(refusal)) if refusal.may_pass() => refusal,
            Err(error) => return Err(error.to_string()),
        };
        // That some blocks were missed says that there were some.
        if timeout_at(by, blocks.recv()).await.is_err() {
            return Err(refusal.to_string());
        }
    }
}
