//! The log: to stderr, or to a file in the directory that `NOMOS_LOG_DIR` names.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::fmt;

use super::process::Environment;
use crate::config::Settings;

/// Begins to log. `NOMOS_LOG_FILTER` has tracing's directives; else `NOMOS_LOG_LEVEL`, else the configuration has
/// the level.
pub(super) fn start(settings: &Settings, environment: &Environment) -> Result<(), String> {
    let level = environment.log_level.as_deref().unwrap_or(&settings.log);
    let own = directives(&level.to_lowercase());
    let (name, directives) = match &environment.log_filter {
        Some(filter) => ("NOMOS_LOG_FILTER", filter),
        None => ("NOMOS_LOG_LEVEL", &own),
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| format!("{name}: {error}"))?;
    let log = fmt().with_env_filter(filter).with_ansi(false).with_target(false);
    match &environment.log_dir {
        None => log.with_writer(std::io::stderr).init(),
        Some(directory) => {
            let path = Path::new(directory).join(format!("{}.log", settings.name));
            let file = fs::create_dir_all(directory)
                .and_then(|()| OpenOptions::new().create(true).append(true).open(&path))
                .map_err(|error| format!("NOMOS_LOG_DIR: {}: {error}", path.display()))?;
            log.with_writer(Mutex::new(file)).init();
        }
    }
    Ok(())
}

/// A level is that of the node's own events. Of its libraries there are warnings, or as little as of the node.
fn directives(level: &str) -> String {
    let libraries = if ["off", "error"].contains(&level) { level } else { "warn" };
    format!("{libraries},logos_scenario_devnode={level}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_say_no_more_than_the_node() {
        assert_eq!(directives("error"), "error,logos_scenario_devnode=error");
        assert_eq!(directives("debug"), "warn,logos_scenario_devnode=debug");
    }
}
