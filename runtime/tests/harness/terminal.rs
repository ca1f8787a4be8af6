//! What whoever sits at a terminal sees.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use libtest_mimic::Failed;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{Check, INNER, command, has, has_not, same, text};

pub(crate) const CHECKS: &[Check] = &[
    ("a_terminal_has_a_bar_per_live_case", a_terminal_has_a_bar),
    ("a_list_leaves_the_terminal_alone", a_list_leaves_the_terminal_alone),
    ("without_capture_a_terminal_has_lines", without_capture_a_terminal_has_lines),
];

const CASE: &str = "local::scenarios::chains::grow";

/// Runs cases with their stderr on a terminal; what stdout has, and what the terminal.
fn at_a_terminal(args: &[&str]) -> Result<(String, String), Failed> {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&controller)?;
    unlockpt(&controller)?;
    tcsetwinsize(&controller, Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 })?;
    let path = ptsname(&controller, Vec::new())?;
    let terminal = File::options().read(true).write(true).open(OsStr::from_bytes(path.to_bytes()))?;
    let mut command = command(&[&[INNER], args].concat(), &[("TERM", "xterm")]);
    let child = command.stdout(Stdio::piped()).stderr(terminal).spawn()?;
    // It holds the terminal, which else would never end.
    drop(command);
    let shown = std::thread::spawn(move || {
        let (mut shown, mut some) = (Vec::new(), [0; 4096]);
        let mut screen = File::from(controller);
        // A terminal whose last user is gone answers with an error.
        while let Ok(count @ 1..) = screen.read(&mut some) {
            shown.extend_from_slice(&some[..count]);
        }
        shown
    });
    let printed = child.wait_with_output()?;
    let shown = shown.join().map_err(|_| "the reader panicked")?;
    Ok((text(&printed.stdout), text(&shown)))
}

fn a_terminal_has_a_bar() -> Result<(), Failed> {
    let (printed, shown) = at_a_terminal(&["--exact", CASE, "scenarios::plain::counts"])?;
    has(&printed, &["\ntest local::scenarios::chains::grow ... ok\n", "2 passed"])?;
    has_not(&printed, "driving")?;
    has_not(&printed, "\u{1b}")?;
    has(&shown, &[&format!(" {CASE} driving, "), " s left; height ", &format!("{CASE}: passed; ")])?;
    // That is a line of those who have no terminal.
    has_not(&shown, "driving for")?;
    // A bar is drawn over again, and is gone at the end.
    has(&shown, &["\u{1b}[2K"])?;
    let last = shown.rsplit("\u{1b}[2K").next().unwrap_or_default();
    has_not(last, "driving")
}

fn a_list_leaves_the_terminal_alone() -> Result<(), Failed> {
    let (printed, shown) = at_a_terminal(&["--list", "-q", "--exact", CASE])?;
    same((printed, shown), (format!("{CASE}: test\n"), String::new()))
}

fn without_capture_a_terminal_has_lines() -> Result<(), Failed> {
    let (printed, shown) = at_a_terminal(&["--no-capture", "--exact", CASE])?;
    has(&printed, &["1 passed"])?;
    has(&shown, &[&format!("{CASE}: driving for 2s\r\n"), &format!("{CASE}: judging\r\n")])?;
    has_not(&shown, "\u{1b}")
}
