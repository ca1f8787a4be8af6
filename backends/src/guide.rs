//! The guide, in chapters.
//!
#![doc = include_str!("../docs/guide.md")]

#[doc = include_str!("../docs/backends.md")]
pub mod backends {}
#[doc = include_str!("../docs/by_hand.md")]
pub mod by_hand {}
#[doc = include_str!("../docs/ci.md")]
pub mod ci {}
#[doc = include_str!("../docs/expectations.md")]
pub mod expectations {}
/// What to write to make it your own, a page each.
pub mod extending {
    #[doc = include_str!("../docs/extending/backend.md")]
    pub mod backend {}
    #[doc = include_str!("../docs/extending/expectation.md")]
    pub mod expectation {}
    #[doc = include_str!("../docs/extending/node_program.md")]
    pub mod node_program {}
    #[doc = include_str!("../docs/extending/workload.md")]
    pub mod workload {}
}
#[doc = include_str!("../docs/faults.md")]
pub mod faults {}
#[doc = include_str!("../docs/glossary.md")]
pub mod glossary {}
#[doc = include_str!("../docs/quickstart.md")]
pub mod quickstart {}
#[doc = include_str!("../docs/scenarios.md")]
pub mod scenarios {}
#[doc = include_str!("../docs/settings.md")]
pub mod settings {}
#[doc = include_str!("../docs/sharing.md")]
pub mod sharing {}
#[doc = include_str!("../docs/telemetry.md")]
pub mod telemetry {}
#[doc = include_str!("../docs/troubleshooting.md")]
pub mod troubleshooting {}
#[doc = include_str!("../docs/workloads.md")]
pub mod workloads {}

#[doc(inline)]
pub use logos_scenario_runtime::failure::index as failures;
