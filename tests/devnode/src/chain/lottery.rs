//! Who may make a block in a slot.
//!
//! A leader signs the epoch's nonce and the slot with the key of its leader note; the hash of the signature is its
//! draw. It wins with the chance φ = 1 − (1 − f)^(its share of the stake), so that over all leaders a slot has at
//! least one winner with the chance f (Ouroboros Praos, section 3.1). Everybody can check a draw from the
//! signature. Who holds a key could try several signatures, which a real verifiable random function forbids and a
//! network of nodes that one test starts need not.

use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use crate::config::Settings;
use crate::keys::SecretKey;
use crate::wire::{Digest, Hasher, LeaderPublic, ProofOfLeadership, PublicKey, Signature};

/// The lottery of one chain. The stake is that of genesis.
#[derive(Clone, Debug)]
pub struct Lottery {
    stakes: HashMap<PublicKey, u64>,
    total_stake: u64,
    stake_root: Digest,
    active_slot_coeff: f64,
    nonce: [u8; 32],
    /// In slots.
    epoch: u64,
}

impl Lottery {
    /// The lottery of the chain that `settings` describe, whose ledger begins as `ledger`.
    #[must_use]
    pub fn new(settings: &Settings, ledger: Digest) -> Self {
        let genesis = &settings.genesis;
        let start = settings.start_time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut nonce = Hasher::new("genesis nonce");
        nonce.raw(&ledger.0);
        nonce.raw(&start.as_nanos().to_le_bytes());
        nonce.raw(&settings.slot.as_nanos().to_le_bytes());
        nonce.u64(settings.active_slot_coeff.to_bits());
        nonce.u64(settings.security_param);
        nonce.raw(&genesis.stake_root().0);
        settings.members.iter().for_each(|member| nonce.raw(&member.0));
        #[expect(clippy::cast_possible_truncation, reason = "a positive number, rounded down on purpose")]
        #[expect(clippy::cast_sign_loss, reason = "both are above 0")]
        #[expect(clippy::cast_precision_loss, reason = "no chain waits for 2^53 blocks")]
        let expected = (settings.security_param as f64 / settings.active_slot_coeff) as u64;
        Self {
            stakes: genesis.leaders.iter().map(|leader| (leader.pk, leader.value)).collect(),
            total_stake: genesis.total_stake(),
            stake_root: genesis.stake_root(),
            active_slot_coeff: settings.active_slot_coeff,
            nonce: nonce.finish(),
            epoch: expected.saturating_mul(10).max(1),
        }
    }

    /// Draws for a slot; `None` where the key does not win.
    #[must_use]
    pub fn draw(&self, key: &SecretKey, slot: u64, ledger: Digest) -> Option<ProofOfLeadership> {
        let leader_key = key.public();
        let public = self.public(slot, ledger);
        let signature = key.sign(&message(&public));
        let draw = draw(&signature);
        if !self.wins(&leader_key, &draw) {
            return None;
        }
        let mut proof = [0; 128];
        proof[..64].copy_from_slice(&signature.0);
        let voucher_cm = Digest::default();
        Some(ProofOfLeadership { proof, entropy_contribution: draw, leader_key, voucher_cm, public })
    }

    /// Whether the proof is what [`Lottery::draw`] makes for that slot on that ledger.
    #[must_use]
    pub fn is_won(&self, proof: &ProofOfLeadership, slot: u64, ledger: Digest) -> bool {
        let (signature, rest) = proof.proof.split_at(64);
        let signature = Signature(signature.try_into().expect("128 bytes were split at 64"));
        proof.public == self.public(slot, ledger)
            && proof.entropy_contribution == draw(&signature)
            && proof.voucher_cm == Digest::default()
            && rest.iter().all(|byte| *byte == 0)
            && self.wins(&proof.leader_key, &proof.entropy_contribution)
            && proof.leader_key.has_signed(&message(&proof.public), &signature)
    }

    pub(super) fn public(&self, slot: u64, ledger: Digest) -> LeaderPublic {
        let mut nonce = Hasher::new("epoch nonce");
        nonce.raw(&self.nonce);
        nonce.u64(slot / self.epoch);
        LeaderPublic {
            slot,
            epoch_nonce: Digest(nonce.finish()),
            total_stake: self.total_stake,
            aged_root: self.stake_root,
            latest_root: ledger,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "chances need no 64 digits")]
    fn wins(&self, leader: &PublicKey, draw: &Digest) -> bool {
        let Some(stake) = self.stakes.get(leader) else { return false };
        let share = *stake as f64 / self.total_stake as f64;
        let chance = 1.0 - (1.0 - self.active_slot_coeff).powf(share);
        let mut number = [0; 8];
        number.copy_from_slice(&draw.0[..8]);
        (u64::from_le_bytes(number) as f64) < chance * 2_f64.powi(64)
    }
}

fn message(public: &LeaderPublic) -> [u8; 32] {
    let mut hasher = Hasher::new("lottery");
    hasher.raw(&public.epoch_nonce.0);
    hasher.u64(public.slot);
    hasher.finish()
}

fn draw(signature: &Signature) -> Digest {
    let mut hasher = Hasher::new("draw");
    hasher.raw(&signature.0);
    Digest(hasher.finish())
}
