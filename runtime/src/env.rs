//! The runtime's settings, read once from the environment. No other file of this crate reads it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use reqwest::Url;
use tracing_subscriber::EnvFilter;

use crate::failure::Problem;
use crate::harness::github::GitHub;
use crate::report::mask;

/// One line of the settings table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name of the environment variable.
    pub name: &'static str,
    /// What holds where it is unset.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// The settings of this crate.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "SCENARIO_MAX_NODES",
        default: "10 × cores",
        meaning: "nodes alive at once over all clusters of the run's cases, but for those made by hand",
    },
    Setting {
        name: "SCENARIO_REQUIRE",
        default: "none",
        meaning: "backends, separated by commas, whose absence is a failure and not a skip",
    },
    Setting {
        name: "SCENARIO_LINGER",
        default: "0s",
        meaning: "how long an unused cluster stays for the next run: `10m`",
    },
    Setting {
        name: "SCENARIO_ISOLATE",
        default: "on",
        meaning: "run a case that failed on a shared cluster once more on one of its own, to tell whether it fails alone",
    },
    Setting {
        name: "SCENARIO_KEEP",
        default: "none",
        meaning: "which cases' clusters stay for an hour, to be looked at: of `none`, `failed` or `all`",
    },
    Setting {
        name: "SCENARIO_ATTACH",
        default: "none",
        meaning: "run cases on a cluster that is there already: the `attach.json` of one that `SCENARIO_KEEP` kept, or a file that names its nodes' URLs",
    },
    Setting { name: "SCENARIO_SEED", default: "random, printed", meaning: "seed of every run" },
    Setting {
        name: "SCENARIO_TAGS",
        default: "all",
        meaning: "cases to choose by their tags: `smoke,!slow` has `smoke` and has not `slow`",
    },
    Setting {
        name: "RUST_LOG",
        default: "`info`",
        meaning: "what the framework logs of a case; shown where the case fails, and with `--no-capture`",
    },
    Setting {
        name: "RUST_TEST_THREADS",
        default: "one per case, at most 64",
        meaning: "cases at once, as `--test-threads`",
    },
    Setting { name: "RUST_TEST_NOCAPTURE", default: "off", meaning: "as `--no-capture`" },
    Setting { name: "RUST_TEST_SHUFFLE", default: "off", meaning: "as `--shuffle`" },
    Setting { name: "RUST_TEST_SHUFFLE_SEED", default: "random, printed", meaning: "as `--shuffle-seed`" },
    Setting {
        name: "GITHUB_ACTIONS",
        default: "off",
        meaning: "set by GitHub: failures are annotations at their scenario's line, and lines of `GITHUB_STEP_SUMMARY`",
    },
    Setting {
        name: "NOMOS_METRICS_QUERY_URL",
        default: "none",
        meaning: "base URL of the Prometheus that has the nodes' metrics",
    },
    Setting {
        name: "NOMOS_GRAFANA_URL",
        default: "none",
        meaning: "base URL of the Grafana that shows them; reports have links to it",
    },
    Setting {
        name: "OTEL_EXPORTER_OTLP_ENDPOINT",
        default: "none",
        meaning: "where the framework's own spans and metrics go, by OTLP over HTTP: `http://127.0.0.1:4318`",
    },
    Setting { name: "SLOW_TEST_ENV", default: "off", meaning: "doubles every timeout" },
    Setting {
        name: "TESTNET_PRINT_ENDPOINTS",
        default: "off",
        meaning: "prints where the nodes of each cluster answer, in lines that begin with `TESTNET_ENDPOINTS`",
    },
];

/// The backends that can be required, whether this build has them or not.
const BACKENDS: [&str; 3] = ["local", "compose", "k8s"];

/// The runtime's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(crate) max_nodes: usize,
    pub(crate) require: Vec<String>,
    pub(crate) linger: Duration,
    pub(crate) isolate: bool,
    pub(crate) keep: Keep,
    /// Tells of a cluster that is there already.
    pub(crate) attach: Option<PathBuf>,
    /// The user's own folder for sockets.
    pub(crate) runtime_dir: Option<PathBuf>,
    pub(crate) seed: Option<u64>,
    pub(crate) slow: bool,
    pub(crate) print_endpoints: bool,
    pub(crate) metrics_query_url: Option<Url>,
    pub(crate) grafana_url: Option<Url>,
    /// Where what the framework tells of itself goes.
    pub(crate) otlp: Option<Url>,
    pub(crate) tags: Tags,
    pub(crate) log: String,
    pub(crate) libtest: Libtest,
    /// Set by nextest: one per invocation, and which attempt of the test this is.
    pub(crate) nextest: Option<Nextest>,
    /// In a workflow of GitHub's.
    pub(crate) github: Option<GitHub>,
}

/// Which cases' clusters stay to be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keep {
    #[default]
    None,
    Failed,
    All,
}

impl Keep {
    /// Whether the cluster of a case that passed, or did not, stays.
    pub(crate) fn wants(self, passed: bool) -> bool {
        match self {
            Self::None => false,
            Self::Failed => !passed,
            Self::All => true,
        }
    }
}

/// Which cases are chosen by their tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    any_of: Vec<String>,
    none_of: Vec<String>,
}

impl Tags {
    /// Whether a case with these tags is chosen.
    pub(crate) fn choose(&self, tags: &[&str]) -> bool {
        let has = |tag: &String| tags.contains(&tag.as_str());
        (self.any_of.is_empty() || self.any_of.iter().any(has)) && !self.none_of.iter().any(has)
    }

    fn parse(value: &str) -> Option<Self> {
        let mut tags = Self::default();
        for word in words(value) {
            let (list, tag) = match word.strip_prefix('!') {
                Some(tag) => (&mut tags.none_of, tag),
                None => (&mut tags.any_of, word),
            };
            if tag.is_empty() || tag.contains(|sign: char| sign.is_whitespace() || sign == '!') {
                return None;
            }
            list.push(tag.to_owned());
        }
        Some(tags)
    }
}

fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim)
}

/// The variables that libtest reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Libtest {
    pub(crate) threads: Option<usize>,
    pub(crate) no_capture: bool,
    pub(crate) shuffle: bool,
    pub(crate) shuffle_seed: Option<u64>,
}

/// What nextest says of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nextest {
    pub(crate) run: String,
    pub(crate) attempt: u32,
}

static SETTINGS_READ: LazyLock<Result<Settings, Vec<Problem>>> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads settings")]
    Settings::parse(|name| std::env::var(name).ok())
});

/// The settings, or everything that is wrong with them.
///
/// # Errors
///
/// Each bad value with the accepted ones.
pub fn check() -> Result<&'static Settings, &'static [Problem]> {
    SETTINGS_READ.as_ref().map_err(Vec::as_slice)
}

/// The settings.
///
/// # Panics
///
/// On a bad value; [`check`] is called first wherever a run begins.
pub(crate) fn settings() -> &'static Settings {
    check().unwrap_or_else(|problems| panic!("bad settings: {problems:?}"))
}

impl Settings {
    /// Twice the time where `SLOW_TEST_ENV` is on.
    pub(crate) fn scaled(&self, timeout: Duration) -> Duration {
        if self.slow { timeout * 2 } else { timeout }
    }

    fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let mut bad = |name: &str, value: &str, expected: &str, next: &str| {
            problems.push(Problem::new(name, format!("`{value}`, expected {expected}"), next));
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut max_nodes = 10 * cores;
        if let Some(value) = get("SCENARIO_MAX_NODES") {
            match value.parse() {
                Ok(count) if count > 0 => max_nodes = count,
                _ => bad("SCENARIO_MAX_NODES", &value, "a number of nodes, at least 1", "try 20"),
            }
        }
        let require = get("SCENARIO_REQUIRE").unwrap_or_default();
        let require: Vec<String> = require.split(',').map(|name| name.trim().to_owned()).collect();
        for name in require.iter().filter(|name| !name.is_empty() && !BACKENDS.contains(&name.as_str())) {
            bad("SCENARIO_REQUIRE", name, &format!("names from {}", BACKENDS.join(", ")), "try local");
        }
        let mut seed = None;
        if let Some(value) = get("SCENARIO_SEED") {
            match value.parse() {
                Ok(value) => seed = Some(value),
                Err(_) => bad("SCENARIO_SEED", &value, "an integer from 0 to 2^64 - 1", "try 1"),
            }
        }
        let mut on_or_off = |name: &str, default: bool| match get(name) {
            None => default,
            Some(value) => flag(&value).unwrap_or_else(|| {
                bad(name, &value, "1/true/yes/on or 0/false/no/off", "try true");
                default
            }),
        };
        let slow = on_or_off("SLOW_TEST_ENV", false);
        let isolate = on_or_off("SCENARIO_ISOLATE", true);
        let print_endpoints = on_or_off("TESTNET_PRINT_ENDPOINTS", false);
        let mut linger = Duration::ZERO;
        if let Some(value) = get("SCENARIO_LINGER").filter(|value| value != "0") {
            match humantime::parse_duration(&value) {
                Ok(time) => linger = time,
                Err(error) => bad("SCENARIO_LINGER", &value, &format!("a time ({error})"), "try 10m"),
            }
        }
        let mut url = |name: &str, next: &str| {
            let value = get(name)?;
            http_url(&value).map_err(|expected| bad(name, &value, &expected, next)).ok()
        };
        let metrics_query_url = url("NOMOS_METRICS_QUERY_URL", METRICS_URL);
        let grafana_url = url("NOMOS_GRAFANA_URL", GRAFANA_URL);
        let otlp = url("OTEL_EXPORTER_OTLP_ENDPOINT", OTLP_URL);
        let mut keep = Keep::None;
        if let Some(value) = get("SCENARIO_KEEP") {
            match value.as_str() {
                "none" => {}
                "failed" => keep = Keep::Failed,
                "all" => keep = Keep::All,
                _ => bad("SCENARIO_KEEP", &value, "none, failed or all", "try failed"),
            }
        }
        let attach = get("SCENARIO_ATTACH").map(PathBuf::from);
        if let Some(path) = attach.as_ref().filter(|path| !path.is_file()) {
            bad(
                "SCENARIO_ATTACH",
                &path.display().to_string(),
                "a file",
                "name the one in SCENARIO_KEEP's message",
            );
        }
        let mut tags = Tags::default();
        if let Some(value) = get("SCENARIO_TAGS") {
            match Tags::parse(&value) {
                Some(parsed) => tags = parsed,
                None => bad(
                    "SCENARIO_TAGS",
                    &value,
                    "tags, or `!` and a tag, with commas between",
                    "try smoke,!slow",
                ),
            }
        }
        let log = get("RUST_LOG").unwrap_or_else(|| "info".to_owned());
        if let Err(error) = EnvFilter::try_new(&log) {
            bad(
                "RUST_LOG",
                &log,
                &format!("a filter of tracing ({error})"),
                "try info,logos_scenario_runtime=debug",
            );
        }
        let on = |name: &str| get(name).is_some_and(|value| value != "0");
        let mut libtest = Libtest {
            no_capture: on("RUST_TEST_NOCAPTURE"),
            shuffle: on("RUST_TEST_SHUFFLE"),
            ..Libtest::default()
        };
        if let Some(value) = get("RUST_TEST_THREADS") {
            libtest.threads = value.parse().ok().filter(|threads| *threads > 0);
            if libtest.threads.is_none() {
                bad("RUST_TEST_THREADS", &value, "a positive integer", "try 4");
            }
        }
        if let Some(value) = get("RUST_TEST_SHUFFLE_SEED") {
            libtest.shuffle_seed = value.parse().ok();
            if libtest.shuffle_seed.is_none() {
                bad("RUST_TEST_SHUFFLE_SEED", &value, "an integer from 0 to 2^64 - 1", "try 1");
            }
        }
        let nextest = get("NEXTEST_RUN_ID").map(|run| Nextest {
            run,
            attempt: get("NEXTEST_ATTEMPT").and_then(|attempt| attempt.parse().ok()).unwrap_or(1),
        });
        let github = get("GITHUB_ACTIONS")
            .filter(|value| value == "true")
            .map(|_| GitHub { summary: get("GITHUB_STEP_SUMMARY").map(PathBuf::from) });
        let runtime_dir = get("XDG_RUNTIME_DIR").map(PathBuf::from);
        let settings = Self {
            max_nodes,
            require,
            linger,
            isolate,
            keep,
            attach,
            runtime_dir,
            seed,
            slow,
            print_endpoints,
            metrics_query_url,
            grafana_url,
            otlp,
            tags,
            log,
            libtest,
            nextest,
            github,
        };
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

/// The machine, the program, and those of the variables that anything of a run may depend on, without secrets.
pub(crate) fn surroundings() -> BTreeMap<String, String> {
    const PREFIXES: [&str; 5] = ["SCENARIO_", "NOMOS_", "RUST_", "TESTNET_", "K8S_RUNNER_"];
    let matters =
        |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || name == "SLOW_TEST_ENV";
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    let variables = variables.filter(|(name, _)| matters(name)).map(|(name, value)| {
        let value = if mask::is_secret(&name) { "***".to_owned() } else { mask::text(&value).into_owned() };
        (name, value)
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = [
        ("machine", format!("{} {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH)),
        ("arguments", std::env::args().collect::<Vec<_>>().join(" ")),
    ];
    machine.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(variables).collect()
}

/// Whether the absence of a backend is a failure and not a skip.
///
/// # Panics
///
/// On a bad setting; [`check`] is called first wherever a run begins.
#[must_use]
pub fn is_required(backend: &str) -> bool {
    settings().require.iter().any(|name| name == backend)
}

/// What to try where a URL of metrics is none.
pub(crate) const METRICS_URL: &str = "try http://127.0.0.1:9090";
/// What to try where a URL of dashboards is none.
pub(crate) const GRAFANA_URL: &str = "try http://127.0.0.1:3000";
/// What to try where a URL of a collector is none.
pub(crate) const OTLP_URL: &str = "try http://127.0.0.1:4318";

/// The base URL of something that answers HTTP.
///
/// # Errors
///
/// What was expected.
pub(crate) fn http_url(value: &str) -> Result<Url, String> {
    let url = Url::parse(value).map_err(|error| format!("a URL ({error})"))?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    if is_http { Ok(url) } else { Err("a URL that begins with http:// or https://".to_owned()) }
}

/// On for `1/true/yes/on`, off for `0/false/no/off`.
#[must_use]
pub fn flag(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
        Settings::parse(|name| {
            values.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn unset_means_the_default() {
        let settings = parse(&[]).unwrap();
        assert!(settings.max_nodes >= 10 && settings.seed.is_none() && !settings.slow);
        assert_eq!(parse(&[("SLOW_TEST_ENV", "")]).unwrap(), settings);
    }

    #[test]
    fn values_are_read() {
        let settings = parse(&[
            ("SCENARIO_MAX_NODES", "7"),
            ("SCENARIO_REQUIRE", "local, k8s"),
            ("SCENARIO_SEED", "18446744073709551615"),
            ("SLOW_TEST_ENV", "Yes"),
            ("TESTNET_PRINT_ENDPOINTS", "1"),
            ("SCENARIO_KEEP", "failed"),
        ])
        .unwrap();
        assert_eq!(settings.max_nodes, 7);
        assert_eq!(settings.require, ["local", "k8s"]);
        assert_eq!(settings.seed, Some(u64::MAX));
        assert!(settings.print_endpoints);
        assert!(settings.keep.wants(false) && !settings.keep.wants(true));
        assert_eq!(settings.scaled(Duration::from_secs(60)), Duration::from_secs(120));
    }

    #[test]
    fn tags_choose_by_any_and_none() {
        let tags = parse(&[("SCENARIO_TAGS", "smoke, quick,!slow")]).unwrap().tags;
        assert!(tags.choose(&["smoke"]) && tags.choose(&["quick", "x"]));
        assert!(!tags.choose(&[]) && !tags.choose(&["x"]) && !tags.choose(&["smoke", "slow"]));
        let tags = parse(&[("SCENARIO_TAGS", "!slow")]).unwrap().tags;
        assert!(tags.choose(&[]) && !tags.choose(&["slow"]));
        for bad in ["smoke,", "!", "two words", "!!slow"] {
            assert!(parse(&[("SCENARIO_TAGS", bad)]).is_err(), "`{bad}` chooses nothing that can be written");
        }
    }

    #[test]
    fn libtests_variables_mean_what_they_mean_to_libtest() {
        let libtest = |values| parse(values).map(|settings| settings.libtest);
        assert_eq!(libtest(&[("RUST_TEST_NOCAPTURE", "0")]).unwrap(), Libtest::default());
        assert!(libtest(&[("RUST_TEST_NOCAPTURE", "1")]).unwrap().no_capture);
        assert_eq!(libtest(&[("RUST_TEST_THREADS", "3")]).unwrap().threads, Some(3));
        assert!(libtest(&[("RUST_TEST_THREADS", "0")]).is_err());
        assert_eq!(libtest(&[("RUST_TEST_SHUFFLE_SEED", "7")]).unwrap().shuffle_seed, Some(7));
    }

    #[test]
    fn all_bad_values_are_told_with_the_accepted_ones() {
        let problems = parse(&[
            ("SCENARIO_MAX_NODES", "0"),
            ("SCENARIO_REQUIRE", "local,dokcer"),
            ("SCENARIO_SEED", "-1"),
            ("SLOW_TEST_ENV", "maybe"),
            ("NOMOS_METRICS_QUERY_URL", "127.0.0.1:9090"),
            ("SCENARIO_KEEP", "passed"),
        ])
        .unwrap_err();
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert_eq!(
            text,
            "SCENARIO_MAX_NODES: `0`, expected a number of nodes, at least 1; try 20\n\
             SCENARIO_REQUIRE: `dokcer`, expected names from local, compose, k8s; try local\n\
             SCENARIO_SEED: `-1`, expected an integer from 0 to 2^64 - 1; try 1\n\
             SLOW_TEST_ENV: `maybe`, expected 1/true/yes/on or 0/false/no/off; try true\n\
             NOMOS_METRICS_QUERY_URL: `127.0.0.1:9090`, expected a URL (relative URL without a base); \
             try http://127.0.0.1:9090\n\
             SCENARIO_KEEP: `passed`, expected none, failed or all; try failed"
        );
    }
}
