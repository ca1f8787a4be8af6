//! The `#[scenario]` attribute: what was written (`args`), what is allowed (`check`), what is emitted
//! (`expand`).

mod args;
mod check;
mod expand;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;

/// Makes an `async fn` a scenario: one cargo test per backend and choice of values, each on a cluster of
/// real nodes.
///
/// ```ignore
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
/// | `backend` | `"local"`, `"compose"`, `"k8s"` or a list | `"local"` | where the nodes run; one case each |
/// | `duration` | `"90s"`, `"1m30s"` or `"30 blocks"` | `"60s"` | for how long the chain is watched |
/// | `layout` | `"star"`, `"chain"`, `"full"` | `"star"` | all dial node 0; *i* dials *i − 1*; *i* dials all *j < i* |
/// | `slot` | `"500ms"` | `"2s"` | how long a slot lasts |
/// | `active_slot_coeff` | float in (0, 1] | 0.9 | the probability that a slot has a leader |
/// | `security_param` | integer ≥ 1 | 10 | how many blocks deep a block is final |
/// | `topology` | path of a `fn(TopologyBuilder) -> TopologyBuilder` | – | changes the topology: stakes, settings of single nodes |
/// | `seed` | integer | random, printed | drives everything random |
/// | `timeout` | duration | window + 5 min | the longest time for body and window |
/// | `tags` | list of words | none | words by which cases are chosen |
/// | `should_fail` | text | – | passes only if the scenario fails with this text; for testing expectations |
/// | `crate` | path | `::logos_scenario` | where the framework is, for re-exports |
///
/// ## Nodes and cases
///
/// A case is called `<backend>::<module>::<function>`, and `::v3e2` follows where numbers are a list, even of one.
/// This function is eight cases, `local::grows::v1e0` to `compose::grows::v4e2`:
///
/// ```ignore
/// #[scenario(validators = [1, 4], executors = [0, 2], backend = ["local", "compose"], layout = "full")]
/// async fn grows(run: &mut Run) -> Result {
///     run.expect_consensus_liveness().drive().await
/// }
/// ```
///
/// What only some nodes are to have, such as a stake or a fault, a function changes in the topology:
///
/// ```ignore
/// #[scenario(validators = 3, topology = with_an_idle_node)]
/// async fn two_of_three_go_on(run: &mut Run) -> Result {
///     run.expect_consensus_liveness().drive().await
/// }
/// ```
///
/// ## Time
///
/// Times are text with units: `"500ms"`, `"90s"`, `"1m30s"`, `"1h"`. A `duration` may be blocks instead: the window
/// ends when the chain has grown by so many, and a chain that does not in time is not alive. `timeout` is the end
/// for body and window together.
///
/// ```ignore
/// #[scenario(duration = "30 blocks", slot = "500ms", active_slot_coeff = 0.5, security_param = 5, timeout = "2m")]
/// async fn thirty_blocks(run: &mut Run) -> Result {
///     run.expect_consensus_liveness().drive().await
/// }
/// ```
///
/// ## Choosing, repeating, ignoring
///
/// `#[ignore]` and `#[ignore = "reason"]` mark every case of the function ignored. A `seed` repeats what was planned,
/// not the chain that comes of it.
///
/// ```ignore
/// #[scenario(seed = 7, tags = ["slow", "consensus"])]
/// #[ignore = "takes an hour"]
/// async fn a_long_one(run: &mut Run) -> Result {
///     run.expect_consensus_liveness().drive().await
/// }
/// ```
///
/// ## Failing on purpose
///
/// An expectation is tested by a scenario in which it fails, with a text by which that failure is known:
///
/// ```ignore
/// #[scenario(should_fail = "an error: nothing is right")]
/// async fn errors_fail() -> Result<(), &'static str> {
///     Err("nothing is right")
/// }
/// ```
///
/// ## Re-exports
///
/// A crate that has the framework under another name says where it is:
///
/// ```ignore
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

/// The attribute on any token stream: the item, with either its registration or everything that is wrong.
fn expanded(args: TokenStream, item: &TokenStream) -> TokenStream {
    match check::check(args::parse(args, item)) {
        Ok(case) => expand::expand(&case),
        Err(error) => expand::with_errors(item, &error),
    }
}
