//! A full disk: it is told where a keeper cannot start, and no matter where it cannot say what it does.
//!
//! The tests mount file systems of a few kilobytes where they may, and say why where they may not.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Completion, Failed};
use tempfile::TempDir;

use super::runner::Invocation;
use super::{Files, demand, has};

/// A small file system, unmounted with its last user.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(options: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", &folder.path().to_string_lossy()])?;
        DirBuilder::new().mode(0o700).create(folder.path().join("scenario")).map_err(|it| it.to_string())?;
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A keeper that still ends has its log there.
        let _ = run("umount", &["--lazy", &self.path().to_string_lossy()]);
    }
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    #[expect(clippy::disallowed_methods, reason = "file systems are mounted by a program")]
    let output = Command::new(program).args(args).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Runs a case whose keeper has its files on the disk.
fn case_on(disk: &SmallDisk, files: &Files, most: usize) -> Result<(bool, String), Failed> {
    let place = disk.path().to_string_lossy().into_owned();
    let env = [("XDG_RUNTIME_DIR", place.as_str())];
    let args = ["--exact", "local::suite::single::a"];
    Invocation::start_with("cargo", &files.name, most, &args, &env)?.end()
}

/// There is room for the lock, and for no log.
pub(crate) fn no_keeper_starts() -> Result<Completion, Failed> {
    let disk = match SmallDisk::mount("size=4k,nr_inodes=3") {
        Ok(disk) => disk,
        Err(why) => return Ok(Completion::ignored_with(format!("no small disk can be mounted: {why}"))),
    };
    let files = Files::of("no-log")?;
    let (passed, said) = case_on(&disk, &files, 52)?;
    demand(!passed, &said)?;
    has(&said, &["keeper failed (infrastructure)", "No space left on device", "try: make room on the disk"])?;
    files.remove()?;
    Ok(Completion::Completed)
}

/// A keeper that cannot write its log keeps clusters all the same.
pub(crate) fn the_log_is_full() -> Result<Completion, Failed> {
    let disk = match SmallDisk::mount("size=8k") {
        Ok(disk) => disk,
        Err(why) => return Ok(Completion::ignored_with(format!("no small disk can be mounted: {why}"))),
    };
    let mut filler = File::create(disk.path().join("filler"))?;
    while filler.write_all(&[b'x'; 512]).is_ok() {}
    demand(fs::write(disk.path().join("more"), "x").is_err(), "the disk is not full")?;
    let files = Files::of("full-log")?;
    let (passed, said) = case_on(&disk, &files, 53)?;
    demand(passed, said)?;
    files.remove()?;
    Ok(Completion::Completed)
}
