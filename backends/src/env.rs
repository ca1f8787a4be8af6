//! The settings of the backends: read once from the environment, typed, listed in one table.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

pub use logos_scenario_runtime::env::{Setting, check, is_required};

/// Every setting of this crate.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: NODE_BIN,
        default: "the node program's own path, then `PATH`",
        meaning: "executable of validators on the local backend",
    },
    Setting {
        name: EXECUTOR_BIN,
        default: "the node program's own path, then `PATH`",
        meaning: "executable of executors on the local backend",
    },
    Setting {
        name: LOG_DIR,
        default: "the cluster's directory",
        meaning: "directory for logs of local nodes; each cluster has a folder of its own in it",
    },
    Setting {
        name: LOG_LEVEL,
        default: "the node's own",
        meaning: "handed to nodes: `off`, `error`, `warn`, `info`, `debug` or `trace`",
    },
    Setting { name: LOG_FILTER, default: "the node's own", meaning: "handed to nodes as it is" },
];

pub(crate) const NODE_BIN: &str = "NOMOS_NODE_BIN";
pub(crate) const EXECUTOR_BIN: &str = "NOMOS_EXECUTOR_BIN";
pub(crate) const LOG_DIR: &str = "NOMOS_LOG_DIR";
pub(crate) const LOG_LEVEL: &str = "NOMOS_LOG_LEVEL";
pub(crate) const LOG_FILTER: &str = "NOMOS_LOG_FILTER";

const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The settings' values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) node_bin: Option<PathBuf>,
    pub(crate) executor_bin: Option<PathBuf>,
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) log_level: Option<String>,
    pub(crate) log_filter: Option<String>,
    /// `PATH`, where programs are looked for last.
    pub(crate) path: Option<OsString>,
}

/// A setting with a value that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is `{value}`, expected {expected}")]
pub(crate) struct BadSetting {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) expected: String,
}

impl Settings {
    /// What the environment held when it was first asked for.
    pub(crate) fn get() -> Result<Self, BadSetting> {
        static SETTINGS: LazyLock<Result<Settings, BadSetting>> = LazyLock::new(|| {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place of this crate that reads the environment"
            )]
            Settings::read(|name| std::env::var_os(name))
        });
        SETTINGS.clone()
    }

    fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, BadSetting> {
        let given = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name| given(name).map(|value| utf8(name, value)).transpose();
        let log_level = text(LOG_LEVEL)?;
        if let Some(value) = log_level.clone().filter(|level| !is_log_level(level)) {
            return Err(BadSetting {
                name: LOG_LEVEL,
                value,
                expected: format!("one of {}", LOG_LEVELS.join(", ")),
            });
        }
        Ok(Self {
            node_bin: given(NODE_BIN).map(PathBuf::from),
            executor_bin: given(EXECUTOR_BIN).map(PathBuf::from),
            log_dir: given(LOG_DIR).map(PathBuf::from),
            log_level,
            log_filter: text(LOG_FILTER)?,
            path: given("PATH"),
        })
    }
}

fn is_log_level(text: &str) -> bool {
    LOG_LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text))
}

fn utf8(name: &'static str, value: OsString) -> Result<String, BadSetting> {
    value.into_string().map_err(|value| BadSetting {
        name,
        value: value.to_string_lossy().into_owned(),
        expected: "UTF-8".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, BadSetting> {
        Settings::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn unset_and_empty_mean_the_default() {
        assert_eq!(read(&[]).unwrap(), Settings::default());
        let empty: Vec<_> = SETTINGS.iter().map(|setting| (setting.name, "")).collect();
        assert_eq!(read(&empty).unwrap(), Settings::default());
    }

    #[test]
    fn every_setting_of_the_table_is_read() {
        for setting in SETTINGS {
            assert_ne!(read(&[(setting.name, "info")]).unwrap(), Settings::default(), "{}", setting.name);
        }
    }

    #[test]
    fn a_bad_value_is_told_with_the_good_ones() {
        assert_eq!(read(&[(LOG_LEVEL, "INFO")]).unwrap().log_level.as_deref(), Some("INFO"));
        assert_eq!(
            read(&[(LOG_LEVEL, "loud")]).unwrap_err().to_string(),
            "NOMOS_LOG_LEVEL is `loud`, expected one of off, error, warn, info, debug, trace"
        );
    }
}
