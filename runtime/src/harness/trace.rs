//! Backtraces without what is always in them: how the panic or error was made, and how the body came to run.

use std::backtrace::{Backtrace, BacktraceStatus};

/// What is above the code of interest, where a trace begins. A function without debug information has a path and no
/// file, one with it a file and no path.
const ABOVE: &[&str] = &[
    "anyhow",
    "core::option::",
    "core::panicking::",
    "core::result::",
    "/harness/logs.rs",
    "::harness::logs::",
    "core::ops::function::Fn::call",
    "rust_begin_unwind",
    "std::backtrace",
    "std::panic::PanicHookInfo",
    "std::panicking::",
    "std::sys::backtrace::",
    "alloc::boxed::Box<F,A> as core::ops::function::Fn",
];
/// Where the code of interest ends: at whoever called a body, a test or a task.
const BELOW: &[&str] = &[
    "__rust_begin_short_backtrace",
    "/case/body.rs",
    "/harness/plain.rs",
    "/runner/tasks.rs",
    "::case::body::",
    "::harness::plain::",
    "::runner::tasks::",
    "tokio::runtime::",
];

/// The frames in between; nothing where `RUST_BACKTRACE` asks for none.
pub(crate) fn short(trace: &Backtrace) -> Option<String> {
    (trace.status() == BacktraceStatus::Captured).then(|| between(&trace.to_string()))
}

fn between(trace: &str) -> String {
    let frames = frames(trace);
    let is = |frame: &str, names: &[&str]| names.iter().any(|name| frame.contains(name));
    let inner = frames.iter().skip_while(|frame| is(frame, ABOVE)).take_while(|frame| !is(frame, BELOW));
    let inner: String = inner.map(String::as_str).collect();
    if inner.is_empty() { trace.to_owned() } else { inner }
}

/// The lines of each frame: one with its number, and mostly one with its place.
fn frames(trace: &str) -> Vec<String> {
    let mut frames: Vec<String> = Vec::new();
    for line in trace.lines() {
        let number = line.trim_start().split(':').next().unwrap_or_default();
        let begins = !number.is_empty() && number.chars().all(|sign| sign.is_ascii_digit());
        match frames.last_mut().filter(|_| !begins) {
            Some(frame) => frame.push_str(&format!("{line}\n")),
            None => frames.push(format!("{line}\n")),
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_between_is_kept() {
        let trace = "   0: <alloc::boxed::Box<dyn for<'a, 'b> core::ops::function::Fn<(&'a std::panic::PanicHookInfo<'b>,), Output = ()>> as core::ops::function::Fn<(&std::panic::PanicHookInfo,)>>::call
             at /rustc/1/library/alloc/src/boxed.rs:2254:9
   0: std::panicking::panic_handler
             at /rustc/1/library/std/src/panicking.rs:689:5
   1: core::panicking::panic_fmt
   2: users::checks
             at ./tests/scenarios.rs:3:5
   3: {async_fn#0}
             at ./tests/scenarios.rs:9:5
   4: {async_block#0}<users::body>
             at /src/runtime/src/case/body.rs:39:41
   5: clone3
";
        let kept = "   2: users::checks
             at ./tests/scenarios.rs:3:5
   3: {async_fn#0}
             at ./tests/scenarios.rs:9:5
";
        assert_eq!(between(trace), kept);
        let without_files = "   0: logos_scenario_runtime::harness::logs::panicked
   1: users::checks
   2: logos_scenario_runtime::case::body::call
";
        assert_eq!(between(without_files), "   1: users::checks\n");
        let strange = "   0: clone3\n   1: tokio::runtime::poll\n";
        assert_eq!(between(strange), "   0: clone3\n");
        assert_eq!(between("disabled backtrace"), "disabled backtrace\n");
        assert_eq!(between("   0: core::panicking::panic\n"), "   0: core::panicking::panic\n");
    }
}
