//! The `#[scenario]` attribute: what was written (`args`), what is allowed (`check`), what is emitted
//! (`expand`).

mod args;
mod check;
mod dropped;
mod expand;
mod plain;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;

/// Makes an `async fn` a scenario: one cargo test per backend and choice of values, each on a cluster of
/// real nodes.
///
/// ```
/// # use logos_scenario::prelude::*;
/// #[scenario(validators = 3, executors = 2, backend = "local", duration = "90s")]
/// async fn transactions_are_included(run: &mut Run) -> Result {
///     run.transactions_with(|tx| tx.rate(5).users(20)).expect_consensus_liveness();
///     run.drive().await
/// }
/// ```
///
/// The function takes no argument or `run: &mut Run`, and returns `()`, `Result<(), E>` with `E: Debug`, or
/// `ExitCode`. It stays callable as it was written, with its name, visibility, documentation and `#[cfg]`s.
///
/// # Keys
///
/// Each may be left out; `#[scenario]` alone is one validator on child processes for a minute.
///
/// | key | value | default | meaning |
/// |---|---|---|---|
/// | `validators` | integer or list | 1 | number of validators; a list makes one case per value |
/// | `executors` | integer or list | 0 | number of executors; a list makes one case per value |
/// | `backend` | `"local"`, `"compose"`, `"k8s"`, a path, or a list | `"local"` | where the nodes run; one case each |
/// | `duration` | `"90s"`, `"1m30s"` or `"30 blocks"` | `"60s"` | for how long the chain is watched |
/// | `layout` | `"star"`, `"chain"`, `"full"` | `"star"` | all dial node 0; *i* dials *i − 1*; *i* dials all *j < i* |
/// | `wallets` | integer, or `wallets(users = 50, funds = 5000)` | drawn on demand | accounts the scenario is sure to get, and units in all of them: 100 each by default |
/// | `slot` | `"500ms"` | `"2s"` | how long a slot lasts |
/// | `active_slot_coeff` | float in (0, 1] | 0.9 | the probability that a slot has a leader |
/// | `security_param` | integer ≥ 1 | 10 | how many blocks deep a block is final |
/// | `topology` | path of a `fn(TopologyBuilder) -> TopologyBuilder` | – | changes the topology: stakes, settings of single nodes |
/// | `cluster` | `"shared"`, `"exclusive"`, `"fresh"` | by need | who may use the cluster besides: others meanwhile, others before and after, nobody |
/// | `node_control` | flag | off | the scenario may stop, kill, pause and restart nodes |
/// | `faults` | flag | off | the scenario may disturb the network; links are planned through a relay |
/// | `seed` | integer | random, printed | drives everything random |
/// | `timeout` | duration | window + 5 min | the longest time for body and window |
/// | `until` | `"window"`, `"satisfied"` | `"window"` | when the run ends: with its window, or when all that is awaited holds |
/// | `tags` | list of words | none | words by which `SCENARIO_TAGS=smoke,!slow` chooses; `--list-tags` lists them |
/// | `should_fail` | text | – | passes only if the scenario fails with this text; for testing expectations |
/// | `crate` | path | `::logos_scenario` | where the framework is, for re-exports |
///
/// ## Nodes and cases
///
/// A case is called `<backend>::<module>::<function>`, and `::v3e2` follows where numbers are a list, even of one.
/// This function is eight cases, `local::grows::v1e0` to `compose::grows::v4e2`:
///
/// ```
/// # use logos_scenario::prelude::*;
/// #[scenario(validators = [1, 4], executors = [0, 2], backend = ["local", "compose"], layout = "full")]
/// async fn grows(run: &mut Run) -> Result {
///     run.expect_consensus_liveness();
///     run.drive().await
/// }
/// ```
///
/// A backend may be one of your own: the path of a `Deployer`, or of a function that returns one. The case is
/// called by the deployer's name.
///
/// ```
/// # use logos_scenario::{LocalDeployer, prelude::*};
/// fn my_local() -> LocalDeployer {
///     LocalDeployer::default()
/// }
///
/// #[scenario(backend = my_local)]
/// async fn runs_there(run: &mut Run) -> Result {
///     run.expect_consensus_liveness();
///     run.drive().await
/// }
/// ```
///
/// What only some nodes are to have, such as a stake or a fault, a function changes in the topology:
///
/// ```
/// # use logos_scenario::{prelude::*, topology::TopologyBuilder};
/// fn with_a_rich_node(topology: TopologyBuilder) -> TopologyBuilder {
///     topology.with_node("validator-0", |node| node.stake(10))
/// }
///
/// #[scenario(validators = 3, topology = with_a_rich_node)]
/// async fn a_rich_node_leads_more_often(run: &mut Run) -> Result {
///     run.expect_consensus_liveness();
///     run.drive().await
/// }
/// ```
///
/// ## Accounts
///
/// Workloads draw accounts from those that genesis funds. A scenario that needs more of them, or other funds, says
/// so; `funds` are shared equally, and the rest goes to the first:
///
/// ```
/// # use logos_scenario::prelude::*;
/// #[scenario(wallets(users = 50, funds = 50_000))]
/// async fn fifty_pay(run: &mut Run) -> Result {
///     run.transactions_with(|tx| tx.rate(5).users(50));
///     run.drive().await
/// }
/// ```
///
/// ## Time
///
/// Times are text with units: `"500ms"`, `"90s"`, `"1m30s"`, `"1h"`. A `duration` may be blocks instead: the window
/// ends when the chain has grown by so many, and a chain that does not in time is not alive. `timeout` is the end
/// for body and window together, also for a body that blocks its thread.
///
/// ```
/// # use logos_scenario::prelude::*;
/// #[scenario(duration = "30 blocks", slot = "500ms", active_slot_coeff = 0.5, security_param = 5, timeout = "2m")]
/// async fn thirty_blocks(run: &mut Run) -> Result {
///     run.expect_consensus_liveness();
///     run.drive().await
/// }
/// ```
///
/// `until = "satisfied"` ends a run as soon as every expectation that is awaited holds, at the latest with the
/// window. What the run says then is that all held until then. Liveness holds when every node has grown by what the
/// whole window demands, which is well before its end; transactions when all that are planned are included, which is
/// not, as they are paced over the window.
///
/// ```
/// # use logos_scenario::expectation::condition::{eventually, height_at_least};
/// # use logos_scenario::prelude::*;
/// # use std::time::Duration;
/// #[scenario(duration = "10m", until = "satisfied")]
/// async fn ten_blocks(run: &mut Run) -> Result {
///     run.with_expectation(eventually("ten blocks", Duration::from_secs(300), height_at_least(10)));
///     run.expect_consensus_liveness();
///     run.drive().await
/// }
/// ```
///
/// ## What a scenario may do to its cluster
///
/// A scenario that stops nodes, or disturbs their network, says so. On a backend that cannot do it the case is
/// ignored with the reason. Such a scenario has its cluster to itself while it runs, and one that `should_fail` has
/// one that nobody else gets; `cluster` asks for more.
///
/// ```
/// # use logos_scenario::prelude::*;
/// #[scenario(validators = 3, node_control, cluster = "fresh")]
/// async fn two_of_three_go_on(run: &mut Run) -> Result {
///     run.control()?.kill("validator-2").await?;
///     Ok(())
/// }
///
/// #[scenario(validators = 3, faults)]
/// async fn disturbed(run: &mut Run) -> Result {
///     run.expect_consensus_liveness();
///     run.drive().await
/// }
/// ```
///
/// ## Choosing, repeating, ignoring
///
/// `#[ignore]` and `#[ignore = "reason"]` mark every case of the function ignored. A `seed` repeats what was planned,
/// not the chain that comes of it.
///
/// ```
/// # use logos_scenario::prelude::*;
/// #[scenario(seed = 7, tags = ["slow", "consensus"])]
/// #[ignore = "takes an hour"]
/// async fn a_long_one(run: &mut Run) -> Result {
///     run.expect_consensus_liveness();
///     run.drive().await
/// }
/// ```
///
/// ## Failing on purpose
///
/// An expectation is tested by a scenario in which it fails, with a text by which that failure is known:
///
/// ```
/// # use logos_scenario::prelude::*;
/// #[scenario(should_fail = "an error: nothing is right")]
/// async fn errors_fail(_: &mut Run) -> Result {
///     Err(anyhow::anyhow!("nothing is right"))
/// }
/// ```
///
/// ## Re-exports
///
/// A crate that has the framework under another name says where it is:
///
/// ```
/// # mod my_crate { pub use logos_scenario as scenario; }
/// # use logos_scenario::scenario;
/// #[scenario(crate = my_crate::scenario)]
/// async fn by_another_name() {}
/// ```
///
/// # Errors
///
/// Mistakes are compile errors, all of them at once and each on its word, with the valid words and the nearest.
#[proc_macro_attribute]
pub fn scenario(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expanded(args.into(), &item.into()).into()
}

/// Makes a function a plain test of a program that runs scenarios.
///
/// Such a program has no libtest, so that the compiler leaves out what bears the ordinary `#[test]`. The function
/// takes no argument, may be `async`, and returns `()` or `Result<(), E>` with `E: Debug`. `#[ignore]` works as
/// usual; `#[test(crate = path)]` says where the framework is.
///
/// ```
/// #[logos_scenario::test]
/// fn two_and_two() {
///     assert_eq!(2 + 2, 4);
/// }
///
/// #[logos_scenario::test]
/// async fn later() -> Result<(), String> {
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn test(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = item.into();
    plain::expanded(args.into(), &item).unwrap_or_else(|errors| expand::with_errors(&item, &errors)).into()
}

/// Warns of tests that the compiler left out of the file in which these tokens are, and of its modules; for `main!`.
#[doc(hidden)]
#[proc_macro]
pub fn dropped_tests(tokens: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let Some(span) = first_span(tokens) else { return proc_macro::TokenStream::new() };
    let file = span.local_file();
    dropped::warnings(file.as_deref(), span.into()).into()
}

/// The place of the first token, whatever `macro_rules!` put around it.
fn first_span(tokens: proc_macro::TokenStream) -> Option<proc_macro::Span> {
    match tokens.into_iter().next()? {
        proc_macro::TokenTree::Group(group) => {
            let inside = first_span(group.stream());
            inside.or_else(|| Some(group.span()))
        }
        token => Some(token.span()),
    }
}

/// The attribute on any token stream: the item, with either its registration or everything that is wrong.
fn expanded(args: TokenStream, item: &TokenStream) -> TokenStream {
    match check::check(args::parse(args, item, args::SCENARIO)) {
        Ok(case) => expand::expand(&case),
        Err(error) => expand::with_errors(item, &error),
    }
}
