//! Ctrl-C and SIGTERM.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};

use super::{Check, INNER, command, has, same};

pub(crate) const CHECKS: &[Check] = &[
    ("an_interrupt_tears_down_and_fails", || interrupted(Signal::INT)),
    ("a_termination_tears_down_and_fails", || interrupted(Signal::TERM)),
    ("a_second_interrupt_ends_at_once", a_second_interrupt_ends_at_once),
];

/// A run whose progress is read line by line.
struct Running {
    child: Child,
    progress: Box<dyn BufRead>,
}

impl Running {
    fn begin(case: &str, more: &[&str]) -> Self {
        let mut command = command(&[&[INNER, "--exact", case], more].concat(), &[]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("this program can be run");
        let progress = Box::new(BufReader::new(child.stderr.take().expect("stderr is piped")));
        Self { child, progress }
    }

    /// Reads on until a line has this.
    fn reach(&mut self, phase: &str) -> Result<(), Failed> {
        let mut said = String::new();
        while !said.contains(phase) {
            if self.progress.read_line(&mut said)? == 0 {
                return Err(format!("it ended before `{phase}`:\n{said}").into());
            }
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), Failed> {
        let pid = Pid::from_raw(self.child.id() as i32).ok_or("a child has a pid")?;
        kill_process(pid, signal).map_err(Failed::from)
    }

    /// Waits for its end; the exit code and what it printed.
    fn end(mut self) -> Result<(Option<i32>, String), Failed> {
        let mut rest = String::new();
        self.progress.read_to_string(&mut rest)?;
        let output = self.child.wait_with_output()?;
        Ok((output.status.code(), super::text(&output.stdout)))
    }
}

fn interrupted(signal: Signal) -> Result<(), Failed> {
    let mut running = Running::begin(
        "local::scenarios::endless::window",
        &["scenarios::plain::counts", "--test-threads", "1"],
    );
    running.reach("driving for 10m")?;
    running.signal(signal)?;
    running.reach("interrupted: giving clusters back")?;
    running.reach("giving the cluster back")?;
    let (code, printed) = running.end()?;
    same(code, Some(101))?;
    has(
        &printed,
        &[
            "interrupt failed (test)",
            "the cluster was given back",
            "the run was interrupted before this test began",
            "2 failed",
        ],
    )
}

fn a_second_interrupt_ends_at_once() -> Result<(), Failed> {
    let mut running = Running::begin("stubborn::scenarios::endless::teardown", &[]);
    running.reach("driving for 10m")?;
    running.signal(Signal::INT)?;
    running.reach("stubborn::scenarios::endless::teardown: giving the cluster back")?;
    running.signal(Signal::INT)?;
    same(running.end()?.0, Some(130))
}
