//! Getting shares that others have.
//!
//! Who keeps a share is asked for it where it is connected. What cannot be had that way is asked of all peers,
//! who ask on in the same manner: no node takes part in one search twice, so that each share comes back on one
//! way, and a search ends in any network. Whoever receives a share checks it.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use rand::seq::SliceRandom as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::messages::{Found, Further, Purpose, Query};
use super::{Data, Order};
use crate::data::Share;
use crate::node::behaviour::peer_id;
use crate::wire::BlobId;

/// What the keeper of a share may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);
/// The longest that a node looks for what a peer asks it to look for.
const ASKED_WITHIN: Duration = Duration::from_secs(30);

/// What is looked for.
#[derive(Clone)]
pub(super) struct Search {
    pub(super) blob: BlobId,
    /// Any of these.
    pub(super) shares: Vec<u16>,
    /// So many of them suffice.
    pub(super) enough: usize,
    pub(super) purpose: Purpose,
    pub(super) within: Duration,
}

impl Data {
    /// Shares that others have; as many as can be had where that is not enough.
    pub(super) async fn search(&self, search: Search) -> Vec<Share> {
        let number = rand::random();
        self.known().searches.insert(number);
        self.ask_on(search, number, None).await
    }

    /// Answers a peer.
    pub(super) async fn answer(&self, peer: PeerId, query: Query) -> Found {
        let is_too_long = query.shares.len() > self.0.members.count();
        if is_too_long || self.known().stats.is_blocked(&peer) {
            return Found::default();
        }
        let mut found = self.at_hand(&query);
        let Some(Further { search, within }) = query.further else { return Found(found) };
        let is_new = {
            let mut known = self.known();
            let is_new = !known.searches.contains(&search);
            known.searches.insert(search);
            is_new
        };
        if is_new {
            let Query { blob, mut shares, purpose, .. } = query;
            shares.retain(|index| found.iter().all(|share| share.index() != *index));
            let within = (Duration::from_millis(within.into()) * 3 / 4).min(ASKED_WITHIN);
            let rest = Search { blob, enough: shares.len(), shares, purpose, within };
            found.extend(self.ask_on(rest, search, Some(peer)).await);
        }
        Found(found)
    }

    /// What this node itself gives out.
    fn at_hand(&self, query: &Query) -> Vec<Share> {
        match query.purpose {
            Purpose::Dispersal { .. } => self.staged(query),
            Purpose::Sampling if self.0.faults.refuse_sampling => {
                warn!(blob = %query.blob, "fault refuse_sampling: answered no sample");
                Vec::new()
            }
            Purpose::Sampling => self.0.store.shares(query.blob, &query.shares),
            Purpose::Reading => self.given(query.blob, &query.shares),
        }
    }

    /// The stored shares of a blob as this node gives them to who reads it.
    pub(super) fn given(&self, blob: BlobId, shares: &[u16]) -> Vec<Share> {
        let stored = self.0.store.shares(blob, shares);
        if !stored.is_empty() && self.0.faults.withhold_shares {
            warn!(%blob, "fault withhold_shares: gave no share");
            return Vec::new();
        }
        if !stored.is_empty() && self.0.faults.corrupt_shares {
            warn!(%blob, "fault corrupt_shares: gave a share with a wrong byte");
            return stored.into_iter().map(Share::corrupted).collect();
        }
        stored
    }

    /// Asks all but the one who asks.
    async fn ask_on(&self, mut search: Search, number: u64, asking: Option<PeerId>) -> Vec<Share> {
        let by = Instant::now() + search.within;
        search.shares.shuffle(&mut rand::rng());
        let (mut near, far) = self.near(&search, asking);
        let mut found: Vec<Share> = Vec::new();
        let mut asked = FuturesUnordered::new();
        loop {
            while found.len() + asked.len() < search.enough
                && let Some((share, keeper)) = near.pop()
            {
                asked.push(self.ask_keeper(keeper, share, &search, by.min(Instant::now() + ANSWER_WITHIN)));
            }
            match asked.next().await {
                Some(share) => found.extend(share),
                None => break,
            }
        }
        if found.len() < search.enough && !far.is_empty() {
            let enough = search.enough - found.len();
            found.extend(self.ask_all(Search { shares: far, enough, ..search }, number, asking, by).await);
        }
        found
    }

    /// The shares whose keepers can be asked, with these, and the others.
    fn near(&self, search: &Search, asking: Option<PeerId>) -> (Vec<(u16, PeerId)>, Vec<u16>) {
        let known = self.known();
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for share in &search.shares {
            let keeper = match &search.purpose {
                Purpose::Dispersal { executor } => peer_id(executor),
                Purpose::Sampling | Purpose::Reading => self.0.members.keeper(*share),
            };
            match keeper.filter(|keeper| known.stats.is_near(keeper)) {
                Some(keeper) if Some(keeper) == asking => {}
                Some(keeper) => near.push((*share, keeper)),
                None => far.push(*share),
            }
        }
        (near, far)
    }

    async fn ask_keeper(&self, keeper: PeerId, share: u16, search: &Search, by: Instant) -> Option<Share> {
        let query = Query { blob: search.blob, shares: vec![share], purpose: search.purpose, further: None };
        let found = self.ask(keeper, query, by).await;
        self.known().stats.answered(keeper, found.is_empty());
        found.into_iter().next()
    }

    async fn ask_all(&self, search: Search, number: u64, asking: Option<PeerId>, by: Instant) -> Vec<Share> {
        let within = u32::try_from(by.saturating_duration_since(Instant::now()).as_millis());
        let further = Further { search: number, within: within.unwrap_or(u32::MAX) };
        let Search { blob, shares, enough, purpose, .. } = search;
        let query = Query { blob, shares, purpose, further: Some(further) };
        let peers: Vec<_> = self.known().stats.near().filter(|peer| Some(*peer) != asking).collect();
        let mut asked: FuturesUnordered<_> =
            peers.into_iter().map(|peer| self.ask(peer, query.clone(), by)).collect();
        let mut found: Vec<Share> = Vec::new();
        while found.len() < enough
            && let Some(shares) = asked.next().await
        {
            let is_new = |share: &Share| found.iter().all(|other| other.index() != share.index());
            let new: Vec<_> = shares.into_iter().filter(is_new).collect();
            found.extend(new);
        }
        found
    }

    /// The good ones of the shares that a peer answers with.
    async fn ask(&self, peer: PeerId, query: Query, by: Instant) -> Vec<Share> {
        let (reply, answer) = oneshot::channel();
        let (blob, wanted) = (query.blob, query.shares.clone());
        self.order(Order::Ask { peer, query, reply });
        let Ok(Ok(Found(mut shares))) = timeout_at(by, answer).await else { return Vec::new() };
        let code = self.0.members.code();
        shares.retain(|share| {
            let commitment = share.check(blob).ok();
            let is_good = commitment.is_some_and(|commitment| Some(commitment.code) == code);
            if !is_good {
                warn!(%peer, %blob, share = share.index(), "refused a share: it is none of the blob's");
            }
            is_good && wanted.contains(&share.index())
        });
        shares
    }
}
