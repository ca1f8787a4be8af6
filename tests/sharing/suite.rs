//! What the inner program runs: scenarios of three cluster keys, and some that others do not like.

use std::time::Duration;

use logos_scenario::prelude::*;
use logos_scenario::{ChainAgreement, Event, RunFailed};

/// How long a transfer may take to be in a block on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);

/// Spends accounts of this lease's own, each of which a second spender would make invalid.
async fn pay(run: &mut Run) -> Result {
    let cx = run.context().clone();
    let wallet = cx.program().wallet().expect("devnodes have accounts");
    let client = cx.node_clients().any(&mut cx.seed("pay"));
    let mut events = cx.feed().subscribe();
    let mut awaited = Vec::new();
    for account in cx.accounts().draw(10).await.map_err(RunFailed::from)? {
        let outputs = [(account.number, account.note.value)];
        let transfer = wallet.transfer(account.number, &account.note, &outputs);
        client.submit_transaction(&transfer.body).await?;
        awaited.push(transfer.id);
    }
    let included = async {
        while !awaited.is_empty() {
            if let Event::Block(block) = events.next().await {
                awaited.retain(|id| !block.transactions.contains(id));
            }
        }
    };
    tokio::time::timeout(WITHIN, included).await?;
    Ok(())
}

macro_rules! suite {
    ($($module:ident($validators:literal, $executors:literal): { $($agree:ident)* } { $($pay:ident)* })*) => {$(
        pub(crate) mod $module {
            use super::*;

            $(
                #[scenario(validators = $validators, executors = $executors, slot = "230ms", duration = "2s")]
                async fn $agree(run: &mut Run) -> Result {
                    run.with_expectation(ChainAgreement::default());
                    run.drive().await
                }
            )*
            $(
                #[scenario(validators = $validators, executors = $executors, slot = "230ms", duration = "2s")]
                async fn $pay(run: &mut Run) -> Result {
                    super::pay(run).await
                }
            )*
        }
    )*};
}

suite! {
    single(1, 0): { a b c d } { e f g }
    pair(2, 0): { a b c d } { e f g }
    mixed(1, 1): { a b c } { d e f }
}

mod contained {
    use super::*;

    #[scenario(backend = "compose", validators = 2, slot = "230ms", duration = "2s")]
    async fn a(run: &mut Run) -> Result {
        run.with_expectation(ChainAgreement::default());
        run.drive().await
    }

    #[scenario(backend = "compose", validators = 2, slot = "230ms", duration = "5s")]
    async fn b(run: &mut Run) -> Result {
        run.transactions_with(|tx| tx.rate(1));
        run.drive().await
    }

    #[scenario(backend = "compose", validators = 2, slot = "230ms", duration = "2s", node_control)]
    async fn c(run: &mut Run) -> Result {
        run.control()?.restart("validator-1").await?;
        run.with_expectation(ChainAgreement::default());
        run.drive().await
    }

    #[scenario(backend = "compose", validators = 2, slot = "230ms", duration = "2s", node_control)]
    async fn d_isolates(run: &mut Run) -> Result {
        Ok(run.control()?.isolate("validator-1").await?)
    }
}

mod harm {
    use super::*;

    #[scenario(validators = 2, slot = "240ms", duration = "2s", node_control)]
    async fn a_stops_a_node(run: &mut Run) -> Result {
        Ok(run.control()?.stop("validator-1").await?)
    }

    #[scenario(validators = 2, slot = "240ms", duration = "2s")]
    async fn b_needs_both_nodes(run: &mut Run) -> Result {
        run.with_expectation(ChainAgreement::default());
        anyhow::ensure!(run.context().node_states().await?.iter().all(|node| node.starts == 1));
        run.node("validator-1")?.consensus_info().await?;
        run.drive().await
    }
}

mod taste {
    use super::*;

    #[scenario(validators = 1, slot = "250ms", duration = "2s")]
    async fn a_is_first(run: &mut Run) -> Result {
        run.with_expectation(ChainAgreement::default());
        run.drive().await
    }

    #[scenario(validators = 1, slot = "250ms", duration = "2s")]
    async fn b_dislikes_company(run: &mut Run) -> Result {
        let lease = run.context().lease();
        anyhow::ensure!(lease == 0, "somebody was here before");
        Ok(())
    }

    #[scenario(validators = 1, slot = "250ms", duration = "2s")]
    async fn c_is_first_again(run: &mut Run) -> Result {
        run.with_expectation(ChainAgreement::default());
        run.drive().await
    }

    #[scenario(validators = 1, slot = "250ms", duration = "2s")]
    async fn d_dislikes_everything(run: &mut Run) -> Result {
        run.feed();
        anyhow::bail!("nothing is right")
    }
}

mod unwatched {
    use super::*;

    #[scenario(backend = "compose", validators = 1, slot = "230ms", duration = "10m")]
    async fn goes_on(run: &mut Run) -> Result {
        run.with_expectation(ChainAgreement::default());
        run.drive().await
    }
}

mod beside {
    use tokio::sync::Semaphore;

    use super::*;

    static A_IS_THERE: Semaphore = Semaphore::const_new(0);
    static B_FAILS: Semaphore = Semaphore::const_new(0);

    #[scenario(validators = 1, slot = "255ms", duration = "2s")]
    async fn a_is_there(run: &mut Run) -> Result {
        run.feed();
        A_IS_THERE.add_permits(1);
        tokio::time::timeout(WITHIN, B_FAILS.acquire()).await??.forget();
        Ok(())
    }

    #[scenario(validators = 1, slot = "255ms", duration = "2s")]
    async fn b_fails_beside_it(run: &mut Run) -> Result {
        run.feed();
        tokio::time::timeout(WITHIN, A_IS_THERE.acquire()).await??.forget();
        B_FAILS.add_permits(1);
        anyhow::bail!("nothing is right")
    }
}

mod afterwards {
    use super::*;

    #[scenario(validators = 1, slot = "255ms", duration = "2s")]
    async fn c_comes_next(run: &mut Run) -> Result {
        run.with_expectation(ChainAgreement::default());
        run.drive().await
    }
}

mod waiting {
    use super::*;

    #[scenario(validators = 1, slot = "260ms", duration = "10m")]
    async fn goes_on(run: &mut Run) -> Result {
        run.with_expectation(ChainAgreement::default());
        run.drive().await
    }
}
