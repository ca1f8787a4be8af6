//! Random sequences of transfers, good and bad: the ledger does what a list of all notes ever made does.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::genesis::Note;
use crate::keys::SecretKey;
use crate::wallet::{account_key, transfer};

const ACCOUNTS: u64 = 3;

/// A transfer to be made, of notes that may be spent already.
#[derive(Clone, Debug)]
struct Attempt {
    inputs: Vec<Index>,
    /// To whom, and which share of what is left.
    outputs: Vec<(u64, Index)>,
    /// What the last output has beyond what is left.
    excess: u64,
    /// The first input is signed by this account, whoever owns it.
    forger: Option<u64>,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let inputs = prop::collection::vec(any::<Index>(), 0..4);
    let outputs = prop::collection::vec((0..ACCOUNTS, any::<Index>()), 1..4);
    let excess = prop_oneof![4 => Just(0), 1 => Just(1_u64)];
    let forger = prop_oneof![4 => Just(None), 1 => (0..ACCOUNTS).prop_map(Some)];
    (inputs, outputs, excess, forger).prop_map(|(inputs, outputs, excess, forger)| Attempt {
        inputs,
        outputs,
        excess,
        forger,
    })
}

/// Every note ever made, its owner, and whether it is spent.
struct Reference(Vec<(Note, u64, bool)>);

impl Reference {
    fn new(genesis: &Genesis) -> Self {
        Self(genesis.notes().zip(0..).map(|(note, owner)| (note, owner, false)).collect())
    }

    fn balance(&self, account: u64) -> u64 {
        let own = self.0.iter().filter(|(_, owner, spent)| *owner == account && !spent);
        own.map(|(note, ..)| note.output.value).sum()
    }

    /// Places of the inputs among all notes, and the outputs with their owners.
    fn choose(&self, attempt: &Attempt) -> (Vec<usize>, Vec<(u64, u64)>) {
        let inputs: Vec<_> = attempt.inputs.iter().map(|index| index.index(self.0.len())).collect();
        let mut left: u64 = inputs.iter().map(|place| self.0[*place].0.output.value).sum();
        let mut outputs = Vec::new();
        for (owner, share) in &attempt.outputs {
            let value = share.index(usize::try_from(left).unwrap() + 1) as u64;
            left -= value;
            outputs.push((*owner, value));
        }
        outputs.last_mut().unwrap().1 += left + attempt.excess;
        (inputs, outputs)
    }

    /// By the rules as part 5 of the node's description has them.
    fn allows(&self, attempt: &Attempt, inputs: &[usize], outputs: &[(u64, u64)]) -> bool {
        let distinct: BTreeSet<_> = inputs.iter().collect();
        let signed =
            attempt.forger.is_none_or(|forger| inputs.iter().take(1).all(|at| self.0[*at].1 == forger));
        !inputs.is_empty()
            && distinct.len() == inputs.len()
            && inputs.iter().all(|place| !self.0[*place].2)
            && outputs.iter().all(|(_, value)| *value > 0)
            && attempt.excess == 0
            && signed
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ledger_does_what_the_list_does(attempts in prop::collection::vec(attempt(), 1..30)) {
        let keys: Vec<SecretKey> = (0..ACCOUNTS).map(account_key).collect();
        let accounts = keys.iter().map(|key| Output { value: 100, pk: key.public() }).collect();
        let genesis = Genesis { leaders: vec![], accounts };
        let (mut ledger, mut reference) = (Ledger::new(&genesis), Reference::new(&genesis));
        for attempt in attempts {
            let (inputs, outputs) = reference.choose(&attempt);
            let key = |account: u64| &keys[usize::try_from(account).unwrap()];
            let signer = |(number, place): (usize, &usize)| {
                let (note, owner, _) = reference.0[*place];
                (note, key(attempt.forger.filter(|_| number == 0).unwrap_or(owner)))
            };
            let spent: Vec<_> = inputs.iter().enumerate().map(signer).collect();
            let made = outputs.iter().map(|(owner, value)| Output { value: *value, pk: key(*owner).public() });
            let sent = transfer(&spent, made.collect());
            let before = ledger.clone();
            let judged = ledger.validate(&sent.transaction);
            prop_assert_eq!(judged.is_ok(), reference.allows(&attempt, &inputs, &outputs), "{:?}", judged);
            match judged {
                Ok(()) => {
                    ledger.apply(&sent.transaction).expect("it was judged");
                    inputs.iter().for_each(|place| reference.0[*place].2 = true);
                    let owners = outputs.iter().map(|(owner, _)| *owner);
                    reference.0.extend(sent.notes.into_iter().zip(owners).map(|(note, owner)| (note, owner, false)));
                }
                Err(_) => prop_assert_eq!(&ledger, &before),
            }
            for account in 0..ACCOUNTS {
                prop_assert_eq!(ledger.balance(&key(account).public()), reference.balance(account));
            }
        }
        prop_assert_eq!((0..ACCOUNTS).map(|account| reference.balance(account)).sum::<u64>(), 100 * ACCOUNTS);
    }
}
