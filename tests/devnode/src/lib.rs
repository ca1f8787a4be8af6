//! The embedded blockchain node: small enough for every `cargo test`, and a real chain of real processes.
//!
//! Without features this library holds what a test framework needs to configure such nodes and to talk to them:
//! [`config`] is the file a node is started with, [`wire`] the JSON it speaks, [`genesis`] and [`wallet`] the
//! notes there are and the transfers that move them, [`ledger`] the rules by which these are judged, [`data`] the
//! shares by which blobs are kept available.
//! The feature `node` adds the program: [`chain`] decides, and everything below `node` carries.
//!
//! ```
//! use logos_scenario_devnode::genesis::Genesis;
//! use logos_scenario_devnode::ledger::Ledger;
//! use logos_scenario_devnode::wallet::{account_key, transfer};
//! use logos_scenario_devnode::wire::Output;
//!
//! let (alice, bob) = (account_key(0), account_key(1));
//! let account = |key: &logos_scenario_devnode::keys::SecretKey| Output { value: 100, pk: key.public() };
//! let genesis = Genesis { leaders: vec![], accounts: vec![account(&alice), account(&bob)] };
//! let sent = transfer(&[(genesis.account_note(0).unwrap(), &alice)], vec![account(&bob)]);
//!
//! let mut ledger = Ledger::new(&genesis);
//! ledger.validate(&sent.transaction).unwrap();
//! ledger.apply(&sent.transaction).unwrap();
//! assert_eq!(ledger.balance(&bob.public()), 200);
//! ```

#[cfg(feature = "node")]
pub mod chain;
pub mod config;
pub mod data;
pub mod genesis;
pub mod keys;
pub mod ledger;
#[cfg(feature = "node")]
pub mod mempool;
#[cfg(feature = "node")]
mod node;
pub mod program;
#[cfg(feature = "node")]
mod recent;
pub mod wallet;
pub mod wire;

#[cfg(feature = "node")]
pub use node::main;
pub use program::Devnode;
