//! Who made a thing that outlives processes: boot, pid namespace, pid and start time, which together name one
//! process for ever.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use logos_scenario_runtime::process::Process;

/// A process, as a label names it: `<boot id>/<pid namespace>/<pid>/<start time>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    boot: String,
    namespace: String,
    process: Process,
}

/// What can be told of an owner from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Or it cannot be told that it does not.
    Lives,
    Gone,
    /// In another pid namespace, on another machine, or where there is no `/proc`.
    OutOfSight,
}

impl Owner {
    /// This process.
    pub(crate) fn this() -> Self {
        Self { boot: boot(), namespace: namespace(), process: Process::this() }
    }

    pub(crate) fn life(&self) -> Life {
        if self.boot != boot() || self.namespace != namespace() || self.process.start == 0 {
            return Life::OutOfSight;
        }
        if self.process.is_gone() { Life::Gone } else { Life::Lives }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boot, namespace, process: Process { pid, start } } = self;
        write!(f, "{boot}/{namespace}/{pid}/{start}")
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(label: &str) -> Result<Self, ()> {
        let parts: Vec<_> = label.split('/').collect();
        let [boot, namespace, pid, start] = parts[..] else { return Err(()) };
        let process = Process { pid: pid.parse().map_err(drop)?, start: start.parse().map_err(drop)? };
        Ok(Self { boot: boot.to_owned(), namespace: namespace.to_owned(), process })
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The number of this process's pid namespace.
fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_names_one_process() {
        let this = Owner::this();
        assert_eq!(this.to_string().parse(), Ok(this.clone()));
        assert_eq!(this.life(), Life::Lives);
        let process = Process { start: this.process.start + 1, ..this.process };
        assert_eq!(Owner { process, ..this.clone() }.life(), Life::Gone, "the pid was taken again");
        assert_eq!(Owner { boot: "other".into(), ..this.clone() }.life(), Life::OutOfSight);
        assert_eq!(Owner { namespace: "7".into(), ..this }.life(), Life::OutOfSight);
    }

    #[test]
    fn other_labels_name_none() {
        for label in ["", "a/b/c/d", "a/b/1", "a/b/1/2/3"] {
            assert_eq!(label.parse::<Owner>(), Err(()), "{label}");
        }
    }
}
