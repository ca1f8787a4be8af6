//! Who made a thing that outlives processes: boot, pid namespace, pid and start time, which together name one
//! process for ever.

use std::fmt;
use std::fs;
use std::str::FromStr;

/// A process, as a label names it: `<boot id>/<pid namespace>/<pid>/<start time>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    boot: String,
    namespace: String,
    pid: u32,
    /// In clock ticks since boot, as in `/proc/<pid>/stat`.
    start: u64,
}

/// What can be told of an owner from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Lives,
    Gone,
    /// In another pid namespace, on another machine, or where there is no `/proc`.
    OutOfSight,
}

impl Owner {
    /// This process.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self { boot: boot(), namespace: namespace(), pid, start: start(pid).unwrap_or_default() }
    }

    pub(crate) fn life(&self) -> Life {
        if self.boot != boot() || self.namespace != namespace() || self.start == 0 {
            return Life::OutOfSight;
        }
        if start(self.pid) == Some(self.start) { Life::Lives } else { Life::Gone }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.boot, self.namespace, self.pid, self.start)
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(label: &str) -> Result<Self, ()> {
        let parts: Vec<_> = label.split('/').collect();
        let [boot, namespace, pid, start] = parts[..] else { return Err(()) };
        let (boot, namespace) = (boot.to_owned(), namespace.to_owned());
        Ok(Self { boot, namespace, pid: pid.parse().map_err(drop)?, start: start.parse().map_err(drop)? })
    }
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The number of this process's pid namespace.
fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

/// When the process of this pid started, unless it ended; a zombie has ended.
fn start(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_names_one_process() {
        let this = Owner::this();
        assert_eq!(this.to_string().parse(), Ok(this.clone()));
        assert_eq!(this.life(), Life::Lives);
        assert_eq!(
            Owner { start: this.start + 1, ..this.clone() }.life(),
            Life::Gone,
            "the pid was taken again"
        );
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
