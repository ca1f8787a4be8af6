//! Arguments that libtest accepts and libtest-mimic refuses, and the choice of cases.

use std::process::ExitCode;

use clap::Parser;
use libtest_mimic::{Arguments, Trial};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::case::Case;
use crate::env::Libtest;
use crate::run::found;
use crate::workload::chaos::replay_everywhere;

/// The name of every trial that was not chosen; libtest-mimic counts them and shows none.
pub(super) const LEFT_OUT: &str = "";

/// The command line, with everything that chooses cases taken out.
pub(super) struct Args {
    rest: Arguments,
    filters: Vec<String>,
    exact: bool,
    skip: Vec<String>,
    shuffle: Option<u64>,
    pub(super) no_capture: bool,
    pub(super) fail_fast: bool,
    pub(super) list_tags: bool,
    pub(super) sweep: bool,
    pub(super) clusters: bool,
    /// The directory whose pages are to be made.
    pub(super) render: Option<String>,
    /// The directory whose runs are to be judged again.
    pub(super) rejudge: Option<String>,
    /// The code of a failure that is to be explained.
    pub(super) explain: Option<String>,
}

/// Options whose value is an argument of its own.
const WITH_VALUE: &[&str] = &[
    "--test-threads",
    "--logfile",
    "--color",
    "--format",
    "-Z",
    "--skip",
    "--shuffle-seed",
    "--render",
    "--rejudge",
    "--explain",
    "--fault-plan",
];
/// Options of libtest's that change nothing here, and why.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("--report-time", "each case says how long its phases took"),
    ("--ensure-time", "each scenario has a timeout"),
    ("--force-run-in-process", "cases run in this process"),
    ("--exclude-should-panic", "no scenario should panic"),
];
const HELP: &str = "\
Arguments of scenarios:
      --list-tags                List the tags of scenarios; SCENARIO_TAGS=smoke,!slow chooses by them
      --sweep                    Remove what clusters left whose owner is gone, and say what that was
      --clusters                 List the clusters that live now, and who uses them; also with --format json
      --render DIRECTORY         Make the page of a run again, or those of all runs of an invocation and their index
      --rejudge DIRECTORY        Judge a run again, or all runs of an invocation, by what their scenarios expect
                                 today, and say what changed; needs no cluster
      --explain CODE             Say what a failure with this code comes from, and what to do: P02
      --no-capture               Show what cases log while they run
      --show-output              Show what cases log, also of those that pass
      --shuffle                  Run cases in random order
      --shuffle-seed SEED        Run cases in the random order of this seed
      --fault-plan FILE          Do to nodes and links what another run did, whose report.json this is
      --fail-fast                Ignore what has not begun when a case fails

Several filters choose what any of them does. With --exact a filter is the name of a case, or that of a
function, which chooses all its cases.
";

/// Parses a command line as libtest would.
pub(super) fn parse(args: impl Iterator<Item = String>, env: &Libtest) -> Result<Args, ExitCode> {
    let mut args = split_equals(args);
    let mut kept: Vec<String> = args.next().into_iter().collect();
    let mut filters = Vec::new();
    let mut shuffle = env.shuffle || env.shuffle_seed.is_some();
    let mut shuffle_seed = env.shuffle_seed;
    let (mut fail_fast, mut list_tags, mut has_format) = (false, false, false);
    let (mut sweep, mut clusters) = (false, false);
    let (mut render, mut rejudge, mut explain) = (None, None, None);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                kept.push(arg);
            }
            "--no-capture" => kept.push("--nocapture".to_owned()),
            "--list-tags" => list_tags = true,
            "--sweep" => sweep = true,
            "--clusters" => clusters = true,
            "--render" | "--rejudge" => {
                let needs = || refuse(&format!("{arg} needs the directory of a run, or of an invocation"));
                let directory = args.next().ok_or_else(needs)?;
                *(if arg == "--render" { &mut render } else { &mut rejudge }) = Some(directory);
            }
            "--explain" => {
                explain = Some(args.next().ok_or_else(|| refuse("--explain needs the code of a failure"))?);
            }
            "--fail-fast" => fail_fast = true,
            "--shuffle" => shuffle = true,
            "--shuffle-seed" => {
                let seed = args.next().unwrap_or_default();
                shuffle = true;
                shuffle_seed = Some(seed.parse().map_err(|_| {
                    refuse(&format!(
                        "argument for --shuffle-seed must be an integer from 0 to 2^64 - 1, not `{seed}`"
                    ))
                })?);
            }
            "--fault-plan" => {
                let file = args.next().ok_or_else(|| refuse("argument for --fault-plan must be a file"))?;
                replay_everywhere(&found(&file)).map_err(|why| refuse(&format!("--fault-plan: {why}")))?;
            }
            "--" => filters.extend(args.by_ref()),
            option if WITH_VALUE.contains(&option) => {
                has_format |= option == "--format";
                kept.push(arg);
                kept.extend(args.next());
            }
            option if option.starts_with('-') => {
                match WITHOUT_EFFECT.iter().find(|(known, _)| *known == option) {
                    Some((_, why)) => eprintln!("note: {option} has no effect: {why}"),
                    None => kept.push(arg),
                }
            }
            _ => filters.push(arg),
        }
    }
    if has_format {
        // To libtest the format is the last word.
        kept.retain(|arg| arg != "-q" && arg != "--quiet");
    }
    if kept.iter().any(|arg| arg == "--test") {
        // To libtest both together are neither of them, and there are no benchmarks here.
        kept.retain(|arg| arg != "--bench");
    }
    let mut rest = Arguments::try_parse_from(kept).map_err(|error| {
        // Where it cannot be printed, nobody reads it.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(BAD_ARGUMENTS) } else { ExitCode::SUCCESS }
    })?;
    rest.test_threads = rest.test_threads.or(env.threads);
    if rest.test_threads == Some(0) {
        return Err(refuse("argument for --test-threads must not be 0"));
    }
    if rest.ignored && rest.include_ignored {
        return Err(refuse("the options --include-ignored and --ignored are mutually exclusive"));
    }
    let (exact, skip) = (rest.exact, std::mem::take(&mut rest.skip));
    let no_capture = rest.nocapture || env.no_capture;
    let shuffle = shuffle.then(|| shuffle_seed.unwrap_or_else(rand::random));
    Ok(Args {
        rest,
        filters,
        exact,
        skip,
        shuffle,
        no_capture,
        fail_fast,
        list_tags,
        sweep,
        clusters,
        render,
        rejudge,
        explain,
    })
}

/// libtest's exit code for arguments that it refuses.
const BAD_ARGUMENTS: u8 = 101;

fn refuse(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(BAD_ARGUMENTS)
}

/// `--option=value` as two arguments, up to `--`, where the option has a value. That of one without effect has none.
fn split_equals(args: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let mut all_filters = false;
    args.flat_map(move |arg| {
        all_filters |= arg == "--";
        match arg.split_once('=').filter(|_| arg.starts_with("--") && !all_filters) {
            Some((option, value)) if WITH_VALUE.contains(&option) => {
                vec![option.to_owned(), value.to_owned()]
            }
            Some((option, _)) if option == "--report-time" => vec![option.to_owned()],
            _ => vec![arg],
        }
    })
}

impl Args {
    /// Whether a case is chosen by its full name or its base name. Under `--exact` a full name wins over a
    /// base name.
    pub(super) fn chooses(&self, cases: &[(String, Case)], name: &str, base: &str) -> bool {
        let is_full = |filter: &String| cases.binary_search_by(|(name, _)| name.cmp(filter)).is_ok();
        self.choose(is_full, name, base)
    }

    fn choose(&self, is_full: impl Fn(&String) -> bool, name: &str, base: &str) -> bool {
        let hit = |filter: &String| match self.exact {
            true if name == filter => true,
            true => base == filter && !is_full(filter),
            false => name.contains(filter.as_str()),
        };
        (self.filters.is_empty() || self.filters.iter().any(hit)) && !self.skip.iter().any(hit)
    }

    /// What libtest-mimic is told of a run of `chosen` cases, the others being named [`LEFT_OUT`].
    pub(super) fn arguments(&self, chosen: usize) -> Arguments {
        // Cases wait more than they compute; the budget of nodes bounds them. With one thread a line would be
        // begun before its case says anything.
        let threads = self.rest.test_threads.unwrap_or_else(|| chosen.clamp(2, 64));
        Arguments {
            filter: None,
            skip: vec![LEFT_OUT.to_owned()],
            exact: true,
            test_threads: Some(threads),
            ..self.rest.clone()
        }
    }

    /// Whether what is listed is for programs.
    pub(super) fn wants_json(&self) -> bool {
        self.rest.format == Some(libtest_mimic::FormatSetting::Json)
    }

    /// Puts trials into random order where that is wanted.
    pub(super) fn shuffle(&self, trials: &mut [Trial]) {
        let Some(seed) = self.shuffle else { return };
        eprintln!("shuffle seed: {seed}");
        trials.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: [(&str, &str); 4] = [
        ("compose::bank::pay", "bank::pay"),
        ("local::bank::pay", "bank::pay"),
        ("local::bank::pay::v1e0", "bank::pay"),
        ("local::solo", "solo"),
    ];

    fn parsed(line: &str) -> Result<Args, ExitCode> {
        let args = std::iter::once("program").chain(line.split_whitespace()).map(str::to_owned);
        parse(args, &Libtest::default())
    }

    fn selected(line: &str) -> Vec<&'static str> {
        let args = parsed(line).unwrap_or_else(|_| panic!("`{line}` is a good command line"));
        let is_full = |filter: &String| CASES.iter().any(|(name, _)| name == filter);
        CASES.iter().filter(|(name, base)| args.choose(is_full, name, base)).map(|(name, _)| *name).collect()
    }

    #[test]
    fn filters_choose_as_in_libtest() {
        assert_eq!(selected("").len(), 4);
        assert_eq!(selected("compose:: solo"), ["compose::bank::pay", "local::solo"]);
        assert_eq!(selected("bank --skip v1e0 --skip=compose"), ["local::bank::pay"]);
        assert_eq!(selected("--no-capture --test-threads 2 -- solo"), ["local::solo"]);
        assert_eq!(selected("-- --no=such"), [""; 0]);
        assert_eq!(selected("--report-time=plain solo"), ["local::solo"]);
    }

    #[test]
    fn exact_takes_a_full_name_before_a_base_name() {
        assert_eq!(selected("--exact local::bank::pay"), ["local::bank::pay"]);
        assert_eq!(
            selected("--exact bank::pay"),
            ["compose::bank::pay", "local::bank::pay", "local::bank::pay::v1e0"]
        );
        assert_eq!(selected("--exact bank"), [""; 0]);
    }

    #[test]
    fn what_libtest_refuses_is_refused() {
        for line in [
            "--test-threads 0",
            "--ignored --include-ignored",
            "--shuffle-seed x",
            "--shuffle-seed",
            "--fault-plan",
            "--fault-plan /no/such/report.json",
            "--test-threads many",
            "--no-such-option",
            "--list=1",
            "--skip",
            "--color pink",
        ] {
            let exit = parsed(line).err().map(|exit| format!("{exit:?}"));
            assert_eq!(exit, Some(format!("{:?}", ExitCode::from(101))), "`{line}`");
        }
    }

    #[test]
    fn what_libtest_accepts_is_accepted() {
        for line in [
            "-q --format pretty",
            "--format=json -Z unstable-options",
            "--report-time --ensure-time -Zunstable-options",
            "--nocapture --show-output --color always --logfile /tmp/log",
            "--shuffle --fail-fast --force-run-in-process --exclude-should-panic",
            "--include-ignored --test-threads=3 --test",
            "--bench --test",
        ] {
            assert!(parsed(line).is_ok(), "`{line}` is refused");
        }
        assert!(parsed("--no-capture").is_ok_and(|args| args.no_capture));
        assert!(parsed("--shuffle-seed=7").is_ok_and(|args| args.shuffle == Some(7)));
        assert!(parsed("-q --format json").is_ok_and(|args| !args.rest.quiet));
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let env = Libtest { threads: Some(3), no_capture: true, ..Libtest::default() };
        let args = |line: &str| {
            let args = std::iter::once("program").chain(line.split_whitespace()).map(str::to_owned);
            parse(args, &env).unwrap_or_else(|_| panic!("`{line}` is a good command line"))
        };
        assert!(args("").no_capture);
        assert_eq!(args("").arguments(9).test_threads, Some(3));
        assert_eq!(args("--test-threads 5").arguments(9).test_threads, Some(5));
    }
}
