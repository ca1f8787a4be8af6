//! Two sides that do not hear each other: they come together again, unless each has made a block final for itself.

use libtest_mimic::Trial;

use crate::cluster::{Cluster, Layout, agree_at, until};
use crate::relay::Relay;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_partition_heals", a_partition_heals),
        trial("silent_links_are_used_again_once_they_heal", silent_links_are_used_again_once_they_heal),
        trial("a_split_below_the_lib_stays_a_split", a_split_below_the_lib_stays_a_split),
    ]
}

/// Two nodes on each side. Every link is a relay, and nobody learns another way.
struct Sides {
    cluster: Cluster,
    between: Vec<Relay>,
    _within: Vec<Relay>,
}

impl Sides {
    async fn start(security_param: u64) -> Self {
        let mut cluster = Cluster::new(4, "200ms", Layout::Full, |_, config| {
            config.security_param = security_param;
            config.discovery = false;
        });
        let (mut between, mut within, mut links) = (Vec::new(), Vec::new(), 0);
        for index in 0..4 {
            for peer in 0..index {
                let at = cluster.spare_address(links);
                let place = &mut cluster.nodes[index].config.peers[peer].address;
                let relay = Relay::new(at, place.parse().unwrap()).await;
                *place = at.to_string();
                let side = if (index < 2) == (peer < 2) { &mut within } else { &mut between };
                side.push(relay);
                links += 1;
            }
            cluster.write_config(index);
        }
        cluster.start().await;
        Self { cluster, between, _within: within }
    }

    /// Cuts the sides apart until each has made so many blocks; they are different ones.
    async fn part_for(&self, blocks: u64) {
        until("all are at height 3", 30, async || self.cluster.height_of_all().await >= 3).await;
        self.between.iter().for_each(Relay::cut);
        let both = async || self.cluster.height(0).await.min(self.cluster.height(3).await);
        let height = both().await;
        until("both sides go on", 60, async || both().await >= height + blocks).await;
        let [one, other] = [self.cluster.chain(1).await, self.cluster.chain(2).await];
        assert_ne!(one.last().map(|(id, _)| id), other.last().map(|(id, _)| id));
        self.between.iter().for_each(Relay::heal);
    }

    fn refused(&self, index: usize) -> bool {
        self.cluster.log_text(index).contains("refusing a reorganisation below the last irreversible block")
    }
}

async fn a_partition_heals() {
    let sides = Sides::start(50).await;
    sides.part_for(8).await;
    let height = sides.cluster.height_of_all().await;
    agree_at(&sides.cluster, height + 20, 60).await;
    assert!((0..4).all(|index| !sides.refused(index)));
}

/// A cut link says nothing, and the connections that it carried stay dead.
async fn silent_links_are_used_again_once_they_heal() {
    let sides = Sides::start(10_000).await;
    let cluster = &sides.cluster;
    until("all are at height 3", 30, async || cluster.height_of_all().await >= 3).await;
    let all_have = async |peers: usize| {
        let infos = (0..4).map(async |index| cluster.network(index).await["n_peers"].as_u64());
        futures::future::join_all(infos).await.iter().all(|count| *count == Some(peers as u64))
    };
    until("all are connected", 30, async || all_have(3).await).await;
    sides.between.iter().for_each(Relay::silence);
    until("each sees that the other side is gone", 30, async || all_have(1).await).await;
    sides.between.iter().for_each(Relay::heal);
    until("the links are used again", 10, async || all_have(3).await).await;
    let height = cluster.height_of_all().await;
    agree_at(cluster, height + 20, 60).await;
}

async fn a_split_below_the_lib_stays_a_split() {
    let sides = Sides::start(6).await;
    sides.part_for(14).await;
    until("all see that they are apart", 60, async || (0..4).all(|index| sides.refused(index))).await;
    let height = sides.cluster.height_of_all().await;
    until("all go on", 60, async || sides.cluster.height_of_all().await >= height + 6).await;
    let cluster = &sides.cluster;
    let finals = [0, 1, 2, 3].map(async |index| cluster.lib(index).await.unwrap());
    let finals = futures::future::join_all(finals).await;
    let of = async |index: usize, height: u64| {
        cluster.chain(index).await[usize::try_from(height).unwrap() - 1].0.clone()
    };
    let height = finals.iter().map(|(height, _)| *height).min().unwrap();
    assert_eq!(of(0, height).await, of(1, height).await);
    assert_eq!(of(2, height).await, of(3, height).await);
    assert_ne!(of(1, height).await, of(2, height).await);
}
