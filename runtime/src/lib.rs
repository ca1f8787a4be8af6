//! Topology, plan, runner, workloads and expectations of multi-node scenarios.
//!
//! One sentence carries the whole project, and it is the reading order of the modules:
//!
//! > **[Topology](topology) → [Scenario](mod@scenario) → [Deployer](deployer) → [Runner](runner) →
//! > [Workloads](workload) → [Expectations](expectation)**
//!
//! This crate knows blockchains and no backend. Users depend on `logos-scenario`, which re-exports it.

/// A `Debug` of what tells a handle from another: what is behind it says nothing, or more than anybody can read.
macro_rules! debug_as {
    ($type:ty, |$this:ident| $($name:ident: $value:expr),+) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let $this = self;
                f.debug_struct(stringify!($type))$(.field(stringify!($name), &$value))+.finish_non_exhaustive()
            }
        }
    };
}

#[doc(hidden)]
pub mod case;
pub mod context;
pub mod deployer;
pub mod env;
pub mod expectation;
pub mod failure;
pub mod fake;
pub mod faults;
pub mod feed;
#[doc(hidden)]
pub mod harness;
#[doc(hidden)]
pub mod names;
pub mod node;
pub mod plan;
#[doc(hidden)]
pub mod process;
pub mod replay;
pub mod report;
pub mod run;
pub mod runner;
pub mod scenario;
pub mod telemetry;
pub mod topology;
pub mod wait;
pub mod workload;

mod attach;
mod pool;

pub use context::{NodeClients, RunContext};
pub use deployer::{AnyCluster, Backend, Capabilities, Cluster, Deployer};
pub use expectation::{
    BlobAvailability, BlockInterval, ChainAgreement, ConsensusLiveness, Expectation, LogPattern,
    MetricThreshold, NoCrash, ResourceUse, TransactionInclusion, TransactionLatency, TransactionStage,
};
pub use failure::{BuildError, Failure, FailureClass, Problem, RunFailed};
pub use feed::{Block, BlockFeed, Event};
pub use logos_scenario_macros::{scenario, test};
pub use node::{HeaderId, NodeClient, NodeProgram, TransactionId};
pub use report::Report;
pub use run::{Result, Run};
pub use runner::Runner;
pub use scenario::{Scenario, ScenarioBuilder, ScenarioBuilderExt, Until, Window, install_program};
pub use topology::{Consensus, Layout, Role, Topology, TopologyBuilder};
pub use workload::{Blobs, Chaos, Counters, Transactions, Workload};

/// What most tests need.
pub mod prelude {
    pub use crate::{
        Deployer, Expectation, Result, Run, ScenarioBuilder, ScenarioBuilderExt, Workload, scenario,
    };
}

/// What the attribute's expansion names.
#[doc(hidden)]
pub mod __private {
    pub use std::option::Option::{None, Some};
    pub use std::time::Duration;

    pub use inventory;
    pub use logos_scenario_macros::dropped_tests;

    pub use crate::case::{CaseArgs, CaseBackend, CaseDef, Sharing, Wallets, call, outcome, own_backend};
    pub use crate::harness::{PlainTest, Program, awaited, called, plain_outcome};
    pub use crate::scenario::{Until, Window};
    pub use crate::topology::Layout;
}
