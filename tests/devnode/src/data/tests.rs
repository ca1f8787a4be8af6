//! Any shares that suffice restore a blob, and all others are told from them.

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use super::*;
use crate::wire::PublicKey;

/// A code of some members, data of some size, and all its shares.
fn encoded() -> impl Strategy<Value = (Vec<u8>, Encoded)> {
    (1..24_usize, 0..8_u32).prop_flat_map(|(members, doublings)| {
        let data = prop::collection::vec(any::<u8>(), CHUNK << doublings);
        data.prop_map(move |data| {
            let encoded = encode(&data, Code::of_members(members)).unwrap();
            (data, encoded)
        })
    })
}

/// The same with some of the shares, in any order.
fn parted() -> impl Strategy<Value = (Vec<u8>, Encoded, Vec<Share>)> {
    encoded().prop_flat_map(|(data, encoded)| {
        let count = encoded.shares.len();
        let some = subsequence(encoded.shares.clone(), 0..=count).prop_shuffle();
        some.prop_map(move |some| (data.clone(), encoded.clone(), some))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_suffices_restores((data, Encoded { commitment, .. }, some) in parted()) {
        let restored = restore(commitment.blob(), some.iter().chain(&some).cloned());
        if some.len() >= commitment.code.data_shares.into() {
            prop_assert_eq!(restored, Ok(data));
        } else {
            let expected = format!("{} good shares and 0 bad ones", some.len());
            prop_assert!(restored.as_ref().is_err_and(|said| said.starts_with(&expected)), "{:?}", restored);
        }
    }

    #[test]
    fn a_changed_share_is_told((_, Encoded { commitment, shares }) in encoded(), place: Index, byte: Index) {
        let (share, blob) = (place.get(&shares), commitment.blob());
        prop_assert_eq!(share.check(blob), Ok(commitment));
        let json = serde_json::to_string(share).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Share>(&json).unwrap(), share);
        let numbers: Vec<_> = json.match_indices(|digit: char| digit.is_ascii_digit()).collect();
        let (at, digit) = *byte.get(&numbers);
        let mut changed = json.clone();
        changed.replace_range(at..=at, if digit == "1" { "2" } else { "1" });
        // Some digits make it no share at all.
        if let Ok(changed) = serde_json::from_str::<Share>(&changed) {
            prop_assert_eq!(changed.check(blob), Err(NotTheBlobs), "{}", json);
            let shares = shares.iter().filter(|other| other.index() != share.index()).cloned();
            let needed = commitment.code.data_shares.into();
            let restored = restore(blob, shares.take(needed).chain([changed]));
            prop_assert_eq!(restored.is_ok(), commitment.code.shares > commitment.code.data_shares);
        }
    }
}

#[test]
fn shares_have_the_shape_of_production() {
    let encoded = encode(&[1; CHUNK], Code::of_members(3)).unwrap();
    let json = serde_json::to_value(&encoded.shares[2]).unwrap();
    assert_eq!(json["share_idx"], 2);
    assert_eq!(
        json["column"].as_array().unwrap().iter().map(|cell| cell.as_array().unwrap().len()).sum::<usize>(),
        32
    );
    let proof = &json["combined_column_proof"];
    assert_eq!(
        (&proof["blob_size"], &proof["data_shares"], &proof["shares"]),
        (&31.into(), &1.into(), &3.into())
    );
    assert_eq!(proof["path"].as_array().unwrap().len(), 1);
}

#[test]
fn sizes_are_powers_of_two_of_chunks() {
    assert_eq!([0, 1, 31, 32, 100, 1024, 512 * 1024].map(size), [31, 31, 31, 62, 124, 1984, 1_015_808]);
    let error = encode(&[0; 100], Code::of_members(2)).unwrap_err();
    assert!(error.ends_with("these are 100 bytes; the next sizes are 62 and 124"), "{error}");
    for length in [0, 1, 30] {
        let error = encode(&vec![0; length], Code::of_members(2)).unwrap_err();
        assert!(error.ends_with("the next size is 31"), "{error}");
    }
}

#[test]
fn any_one_or_two_members_may_be_missing() {
    let may_be_missing = |members| {
        let Code { data_shares, shares } = Code::of_members(members);
        shares - data_shares
    };
    assert_eq!((1..=8).map(may_be_missing).collect::<Vec<_>>(), [0, 1, 2, 2, 3, 3, 4, 4]);
}

#[test]
fn the_same_request_is_the_same_transaction() {
    let dispersal = Dispersal {
        channel_id: Default::default(),
        parent_msg_id: Default::default(),
        signer: publisher().public(),
        data: vec![3; CHUNK],
    };
    let publication = dispersal.publication(BlobId([4; 32]));
    assert_eq!(publication, dispersal.publication(BlobId([4; 32])));
    assert!(publication.blobs().all(|blob| blob.signer == publisher().public() && blob.blob_size == 31));
    let known: PublicKey =
        "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29".parse().unwrap();
    assert_eq!(publisher().public(), known);
}
