//! What a thousand scenarios cost whoever asks for a list, or for one of them: an IDE, and nextest once per case.
//!
//! The program runs itself: as a test program that has them all, and as the one who measures that.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use logos_scenario_runtime::Backend;
use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram};
use logos_scenario_runtime::harness::{self, Program};
use logos_scenario_runtime::prelude::*;

/// The first argument of the program that has the scenarios.
const INNER: &str = "inner";
const SCENARIOS: usize = 1_000;
const SAMPLES: usize = 21;

macro_rules! modules {
    ($($module:ident)*) => {$(
        mod $module {
            use super::*;
            scenarios! { a b c d e f g h i j k l m n o p q r s t u v w x y }
        }
    )*};
}

macro_rules! scenarios {
    ($($name:ident)*) => {$(
        #[scenario(crate = logos_scenario_runtime, validators = 3, slot = "20ms", duration = "2s", tags = ["many"])]
        async fn $name(run: &mut Run) -> Result {
            run.feed();
            Ok(())
        }
    )*};
}

modules! {
    m00 m01 m02 m03 m04 m05 m06 m07 m08 m09 m10 m11 m12 m13 m14 m15 m16 m17 m18 m19
    m20 m21 m22 m23 m24 m25 m26 m27 m28 m29 m30 m31 m32 m33 m34 m35 m36 m37 m38 m39
}

fn main() -> ExitCode {
    let mut args = std::env::args();
    let program = args.next().into_iter();
    if args.next().as_deref() == Some(INNER) {
        let this = Program { main_crate: module_path!(), libraries: &[] };
        let backends = [Backend::new(FakeDeployer::default().named("local"))];
        return harness::run(program.chain(args), this, FakeProgram, &backends);
    }
    report("`--list` of all, until its end", 50, list);
    report("`--exact` of one, until it deploys", 10, exact);
    ExitCode::SUCCESS
}

fn list() -> Duration {
    let began = Instant::now();
    let output = inner(&["--list", "--format", "terse"]).wait_with_output().expect("a child ends");
    let took = began.elapsed();
    assert_eq!(output.stdout.split(|byte| *byte == b'\n').count() - 1, SCENARIOS);
    took
}

fn exact() -> Duration {
    let began = Instant::now();
    let mut child = inner(&["--exact", "local::m20::m", "--nocapture"]);
    let mut progress = BufReader::new(child.stderr.take().expect("stderr is piped"));
    let mut line = String::new();
    progress.read_line(&mut line).expect("progress is text");
    let took = began.elapsed();
    assert!(line.contains("deploying"), "{line}");
    progress.read_to_string(&mut line).expect("progress is text");
    assert!(child.wait().expect("a child ends").success(), "{line}");
    took
}

#[expect(clippy::disallowed_methods, reason = "this program runs itself")]
fn inner(args: &[&str]) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("a program knows its path"));
    command.arg(INNER).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("this program can be run")
}

fn report(what: &str, at_most: u64, sample: impl Fn() -> Duration) {
    let mut samples: Vec<_> = (0..SAMPLES).map(|_| sample().as_secs_f64() * 1_000.0).collect();
    samples.sort_by(f64::total_cmp);
    let (least, median, most) = (samples[0], samples[SAMPLES / 2], samples[SAMPLES - 1]);
    println!("{what}: median {median:.1} ms, {least:.1} to {most:.1} ms; at most {at_most} ms is wanted");
}
