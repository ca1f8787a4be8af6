//! What becomes of a piece of data: decided from the link's shape, the time and chance alone.

use std::time::Duration;

use logos_scenario_runtime::faults::Shape;
use rand::{Rng, RngExt};
use tokio::time::Instant;

/// After so long a piece of a stream that was lost is sent again, and after twice that again, as TCP does.
const RESENT_AFTER: Duration = Duration::from_millis(200);
/// A piece of a stream that is lost so often in a row is given up, and the stream with it.
const TRIES: u32 = 6;

/// What becomes of a piece of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives at this time, after it was lost so often.
    Arrives { at: Instant, lost: u64 },
    /// It never arrives.
    Lost,
}

/// What one direction of a connection, or a link's datagrams, have of the past.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    /// When the last piece had passed where the link is narrow.
    free: Option<Instant>,
    /// When the last piece of a stream arrives; none overtakes it.
    last: Option<Instant>,
}

/// A piece of a stream: in order, and lost only with the whole stream.
pub(super) fn of_stream(
    shape: &Shape,
    lane: &mut Lane,
    now: Instant,
    bytes: usize,
    rng: &mut impl Rng,
) -> Fate {
    let lost = (0..TRIES).take_while(|_| is_lost(shape, rng)).count() as u32;
    if lost == TRIES {
        return Fate::Lost;
    }
    let resent = RESENT_AFTER * (2_u32.pow(lost) - 1);
    let at = (passes(shape, lane, now, bytes) + delay(shape, rng) + resent).max(lane.last.unwrap_or(now));
    lane.last = Some(at);
    Fate::Arrives { at, lost: lost.into() }
}

/// A datagram: by itself, so that jitter puts it before or after others.
pub(super) fn of_datagram(
    shape: &Shape,
    lane: &mut Lane,
    now: Instant,
    bytes: usize,
    rng: &mut impl Rng,
) -> Fate {
    if shape.cut || is_lost(shape, rng) {
        return Fate::Lost;
    }
    Fate::Arrives { at: passes(shape, lane, now, bytes) + delay(shape, rng), lost: 0 }
}

fn is_lost(shape: &Shape, rng: &mut impl Rng) -> bool {
    shape.loss > 0 && rng.random_range(0..100) < shape.loss
}

fn delay(shape: &Shape, rng: &mut impl Rng) -> Duration {
    if shape.jitter.is_zero() {
        return shape.delay;
    }
    shape.delay + shape.jitter.mul_f64(rng.random_range(0.0..=1.0))
}

/// When the whole piece has passed, which is behind the pieces before it.
fn passes(shape: &Shape, lane: &mut Lane, now: Instant, bytes: usize) -> Instant {
    let Some(rate) = shape.rate else {
        lane.free = None;
        return now;
    };
    // Rounded up, so that it is never faster.
    let nanos = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(rate.max(1)));
    let free = lane.free.map_or(now, |free| free.max(now));
    let passed = free + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    lane.free = Some(passed);
    passed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Pieces that come so long after each other, with so many bytes.
    fn pieces() -> impl Strategy<Value = Vec<(u64, usize)>> {
        prop::collection::vec((0_u64..50, 1_usize..20_000), 1..60)
    }

    prop_compose! {
        fn shape()(delay in 0_u32..500, jitter in 0_u32..500, loss in 0_u8..60, rate in prop::option::of(1_000_u64..10_000_000)) -> Shape {
            Shape { cut: false, delay: MS * delay, jitter: MS * jitter, loss, rate }
        }
    }

    type Decide = fn(&Shape, &mut Lane, Instant, usize, &mut ChaCha8Rng) -> Fate;

    /// When each piece came, how long it is, and what became of it.
    fn fates(
        decide: Decide,
        shape: &Shape,
        pieces: &[(u64, usize)],
        seed: u64,
    ) -> Vec<(Instant, usize, Fate)> {
        let (mut lane, mut rng, mut now) = (Lane::default(), ChaCha8Rng::seed_from_u64(seed), Instant::now());
        let fate = |(after, bytes): &(u64, usize)| {
            now += Duration::from_millis(*after);
            (now, *bytes, decide(shape, &mut lane, now, *bytes, &mut rng))
        };
        pieces.iter().map(fate).collect()
    }

    fn arrivals(fates: &[(Instant, usize, Fate)]) -> Vec<(Instant, usize, Instant)> {
        let arrival = |(came, bytes, fate): &(Instant, usize, Fate)| match fate {
            Fate::Arrives { at, .. } => Some((*came, *bytes, *at)),
            Fate::Lost => None,
        };
        fates.iter().filter_map(arrival).collect()
    }

    proptest! {
        #[test]
        fn what_nothing_disturbs_arrives_at_once(pieces in pieces(), seed: u64) {
            for decide in [of_stream as Decide, of_datagram] {
                for (came, _, fate) in fates(decide, &Shape::default(), &pieces, seed) {
                    prop_assert_eq!(fate, Fate::Arrives { at: came, lost: 0 });
                }
            }
        }

        #[test]
        fn nothing_is_earlier_than_its_delay(shape in shape(), pieces in pieces(), seed: u64) {
            for decide in [of_stream as Decide, of_datagram] {
                for (came, _, at) in arrivals(&fates(decide, &shape, &pieces, seed)) {
                    prop_assert!(at - came >= shape.delay);
                }
            }
        }

        #[test]
        fn a_datagram_is_no_later_than_delay_jitter_and_those_before_it(pieces in pieces(), seed: u64, shape in shape()) {
            let shape = Shape { rate: None, ..shape };
            for (came, _, at) in arrivals(&fates(of_datagram, &shape, &pieces, seed)) {
                prop_assert!(at - came <= shape.delay + shape.jitter);
            }
        }

        #[test]
        fn streams_keep_their_order(shape in shape(), pieces in pieces(), seed: u64) {
            let arrivals = arrivals(&fates(of_stream, &shape, &pieces, seed));
            prop_assert!(arrivals.is_sorted_by_key(|(_, _, at)| *at));
        }

        #[test]
        fn no_more_passes_than_the_rate_allows(pieces in pieces(), seed: u64, rate in 1_000_u64..1_000_000) {
            let shape = Shape { rate: Some(rate), ..Shape::default() };
            for decide in [of_stream as Decide, of_datagram] {
                let arrivals = arrivals(&fates(decide, &shape, &pieces, seed));
                for (first, (came, ..)) in arrivals.iter().enumerate() {
                    let mut bytes = 0_u64;
                    for (_, more, at) in &arrivals[first..] {
                        bytes += *more as u64;
                        prop_assert!((*at - *came).as_secs_f64() * rate as f64 >= bytes as f64 - 0.01);
                    }
                }
            }
        }

        #[test]
        fn a_seed_repeats_all(shape in shape(), pieces in pieces(), seed: u64) {
            let relative = |seed| {
                let fates = fates(of_stream, &shape, &pieces, seed);
                let arrivals = arrivals(&fates);
                arrivals.iter().map(|(came, _, at)| *at - *came).collect::<Vec<_>>()
            };
            prop_assert_eq!(relative(seed), relative(seed));
        }
    }

    #[test]
    fn jitter_lets_datagrams_overtake_each_other() {
        let shape = Shape { jitter: 100 * MS, ..Shape::default() };
        let pieces = vec![(1, 100); 100];
        let arrivals = arrivals(&fates(of_datagram, &shape, &pieces, 1));
        assert!(!arrivals.is_sorted_by_key(|(_, _, at)| *at));
    }

    #[test]
    fn as_much_is_lost_as_is_asked_for() {
        let pieces = vec![(1, 100); 10_000];
        let lost = |loss| {
            let shape = Shape { loss, ..Shape::default() };
            let fates = fates(of_datagram, &shape, &pieces, 1);
            fates.iter().filter(|(_, _, fate)| *fate == Fate::Lost).count()
        };
        assert_eq!((lost(0), lost(100)), (0, 10_000));
        let tenth = lost(10);
        assert!((800..1_200).contains(&tenth), "{tenth} of 10,000");
    }

    #[test]
    fn a_lost_piece_of_a_stream_stalls_it_and_many_in_a_row_end_it() {
        let fate = |loss| {
            let shape = Shape { loss, ..Shape::default() };
            fates(of_stream, &shape, &vec![(1, 100); 1_000], 1)
        };
        assert!(fate(100).iter().all(|(_, _, fate)| *fate == Fate::Lost));
        let some = fate(30);
        let stalls = |(came, _, fate): &(Instant, usize, Fate)| match fate {
            Fate::Arrives { at, lost } => *lost > 0 && *at - *came >= RESENT_AFTER,
            Fate::Lost => false,
        };
        assert!(some.iter().filter(|it| stalls(it)).count() > 200);
    }
}
