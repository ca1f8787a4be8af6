//! What the attribute emits compiles in a crate that denies warnings, whatever it names and shadows.

#![deny(warnings)]

use logos_scenario_runtime::case::CaseDef;
use logos_scenario_runtime::{Run, scenario};

/// Names of the standard library, taken.
#[expect(dead_code, reason = "they are here to be in the way")]
mod shadowing {
    use super::{Run, scenario};

    mod core {}
    mod std {}
    struct Option;
    struct Some;
    struct Duration;

    #[scenario(crate = logos_scenario_runtime, duration = "5s", seed = 1)]
    async fn names_are_taken(_run: &mut Run) {}
}

mod signatures {
    use super::{Run, scenario};

    #[scenario(crate = logos_scenario_runtime)]
    async fn without_argument() {}

    #[scenario(crate = logos_scenario_runtime)]
    async fn with_a_result(_: &mut Run) -> Result<(), String> {
        Ok(())
    }

    #[scenario(crate = logos_scenario_runtime)]
    async fn with_an_exit_code(run: &mut Run) -> ::std::process::ExitCode {
        let _ = run;
        ::std::process::ExitCode::SUCCESS
    }

    #[scenario(crate = logos_scenario_runtime)]
    async fn not_send(_run: &mut Run) {
        let counted = ::std::rc::Rc::new(1);
        ::std::future::ready(()).await;
        drop(counted);
    }

    #[scenario(crate = logos_scenario_runtime)]
    pub(super) async fn r#type(_run: &mut Run) {}

    #[cfg(any())]
    #[scenario(crate = logos_scenario_runtime)]
    async fn left_out(_run: &mut Run) {}
}

macro_rules! scenarios {
    ($($name:ident)*) => {$(
        #[scenario(crate = logos_scenario_runtime, validators = 2)]
        async fn $name(_run: &mut Run) {}
    )*};
}
scenarios!(one other);

#[test]
fn all_are_registered() {
    let mut names: Vec<_> = inventory::iter::<CaseDef>().map(|case| case.function).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "names_are_taken",
            "not_send",
            "one",
            "other",
            "type",
            "with_a_result",
            "with_an_exit_code",
            "without_argument"
        ]
    );
}

/// A scenario is still a function: others may call it.
pub async fn calls_a_scenario(run: &mut Run) {
    signatures::r#type(run).await;
}
