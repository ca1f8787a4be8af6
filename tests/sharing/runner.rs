//! A stand-in for `cargo` and `cargo-nextest`: this program under such a name, which the kernel tells whoever
//! asks for the process's name.

use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::sync::Mutex;

use libtest_mimic::Failed;
use logos_scenario_tests::nextest::{self, Nextest};
use serde_json::json;
use tempfile::TempDir;

use super::INNER;

/// Between the arguments of two programs that are run one after the other.
pub(crate) const THEN: &str = "--then";
/// Instead of arguments: every case with these filters in a process of its own, four at once.
pub(crate) const EACH: &str = "--each";

/// What the stand-in does: runs the inner program.
pub(crate) fn main(args: &[String]) -> ExitCode {
    let passed = match args {
        [first, filters @ ..] if first == EACH => each(filters),
        _ => args.split(|arg| arg == THEN).map(succeeds).fold(true, |all, one| all & one),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn succeeds(args: &[String]) -> bool {
    inner(args).status().is_ok_and(|status| status.success())
}

fn each(filters: &[String]) -> bool {
    let list = [filters, &["--list".to_owned()]].concat();
    let listed = inner(&list).stdout(Stdio::piped()).output().map(|output| output.stdout).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let cases: Vec<String> =
        listed.lines().filter_map(|line| line.strip_suffix(": test").map(str::to_owned)).collect();
    let (left, passed) = (Mutex::new(cases.into_iter()), Mutex::new(true));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("no thread panics").next();
                    let Some(case) = next else { return };
                    let succeeded = succeeds(&["--exact".to_owned(), case, "--nocapture".to_owned()]);
                    *passed.lock().expect("no thread panics") &= succeeded;
                }
            });
        }
    });
    passed.into_inner().expect("no thread panics")
}

#[expect(clippy::disallowed_methods, reason = "this program runs itself")]
fn inner(args: &[String]) -> Command {
    let mut inner = Command::new(std::env::current_exe().expect("a program knows its path"));
    inner.arg(INNER).args(args).stdin(Stdio::null());
    inner
}

/// The clusters that live now, as JSON.
pub(crate) fn clusters() -> Result<String, Failed> {
    Ok(String::from_utf8(list()?.stdout)?)
}

/// What is said of the clusters that live now.
pub(crate) fn list() -> Result<Output, Failed> {
    let args = ["--clusters", "--format", "json"].map(str::to_owned);
    Ok(inner(&args).output()?)
}

/// A runner that runs.
pub(crate) struct Invocation {
    pub(crate) child: Child,
    _files: TempDir,
}

impl Invocation {
    /// Starts the stand-in under a name. The clusters of one invocation are no other's, since their settings
    /// differ; its name is its folder's.
    pub(crate) fn start(name: &str, invocation: &str, most: usize, args: &[&str]) -> Result<Self, Failed> {
        Self::start_with(name, invocation, most, args, &[])
    }

    pub(crate) fn start_with(
        name: &str,
        invocation: &str,
        most: usize,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Self, Failed> {
        Self::spawn(name, invocation, most, args, |command| {
            command.envs(env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        })
    }

    /// The same, with nobody to hear what is said.
    pub(crate) fn start_quiet(
        name: &str,
        invocation: &str,
        most: usize,
        args: &[&str],
    ) -> Result<Self, Failed> {
        Self::spawn(name, invocation, most, args, |command| {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        })
    }

    fn spawn(
        name: &str,
        invocation: &str,
        most: usize,
        args: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Self, Failed> {
        let names = tempfile::tempdir()?;
        let program = names.path().join(name);
        symlink(std::env::current_exe()?, &program)?;
        #[expect(clippy::disallowed_methods, reason = "this program runs itself")]
        let mut command = Command::new(&program);
        command.args(args).env("NEXTEST_RUN_ID", invocation);
        settle(&mut command, most);
        prepare(&mut command);
        Ok(Self { child: command.spawn()?, _files: names })
    }

    /// Starts `cargo nextest` itself on the inner program, four cases at once; nothing where it is not installed.
    pub(crate) fn nextest(invocation: &str, most: usize, args: &[&str]) -> Result<Option<Self>, Failed> {
        let this = std::env::current_exe()?;
        let Nextest { mut command, files } = nextest::on(&this)?;
        // The runner comes before the program's path, which the inner program leaves out.
        let runner = json!(["env", format!("NEXTEST_RUN_ID={invocation}"), this, INNER]);
        settle(&mut command, most);
        command
            .args(["--profile", "default", "--no-fail-fast", "--test-threads", "4"])
            .args(["--config", &format!("target.'cfg(all())'.runner = {runner}")])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match command.spawn() {
            Ok(child) => Ok(Some(Self { child, _files: files })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for its end; whether it succeeded, and everything that was said.
    pub(crate) fn end(mut self) -> Result<(bool, String), Failed> {
        let mut said = self.child.stderr.take().ok_or("stderr is piped")?;
        let hears = std::thread::spawn(move || {
            let mut text = String::new();
            said.read_to_string(&mut text).map(|_| text)
        });
        let mut printed = String::new();
        self.child.stdout.take().ok_or("stdout is piped")?.read_to_string(&mut printed)?;
        let said = hears.join().map_err(|_| "the reader panicked")??;
        Ok((self.child.wait()?.success(), printed + &said))
    }
}

/// What runs in the same way wherever it is run.
fn settle(command: &mut Command, most: usize) {
    let foreign = ["NEXTEST_ATTEMPT", "NEXTEST_PROFILE", "RUST_LOG", "RUST_BACKTRACE"];
    foreign.iter().for_each(|variable| _ = command.env_remove(variable));
    command.env("SCENARIO_MAX_NODES", most.to_string()).stdin(Stdio::null());
}

/// Whether a program was started under the name of a stand-in.
pub(crate) fn is_stand_in(program: &str) -> bool {
    let name = Path::new(program).file_name().unwrap_or_default();
    name == "cargo" || name == "cargo-nextest"
}
