//! What the quickstart shows of `chain` is what it prints.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::SystemTime;

const CHAPTER: &str = include_str!("../../../backends/docs/quickstart.md");

/// The other test program of this package, which is built beside this one.
fn chain() -> PathBuf {
    let here = std::env::current_exe().expect("a program knows its path");
    let built =
        |path: &PathBuf| path.metadata().and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let entries =
        here.parent().expect("a program is in a folder").read_dir().expect("the folder can be read");
    let programs = entries.map(|entry| entry.expect("an entry can be read").path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("chain-") && path.extension().is_none()
    });
    programs.max_by_key(built).expect("run `cargo test -p mynode`, which builds `chain`, too")
}

/// The commands of the chapter with what they print.
fn shown() -> Vec<(Vec<&'static str>, &'static str)> {
    let commands = CHAPTER.split("```sh\n").skip(1);
    commands
        .map(|rest| {
            let (command, rest) = rest.split_once("\n```").expect("a block ends");
            let (_, rest) = rest.split_once("```text\n").expect("what is printed follows");
            let (_, arguments) = command.split_once("--test chain").expect("it runs the target");
            let arguments = arguments.split_whitespace().filter(|word| *word != "--").collect();
            (arguments, rest.split_once("\n```").expect("a block ends").0)
        })
        .collect()
}

/// Whether a printed text has a line of these parts, whose spaces do not matter.
fn has(printed: &str, line: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts: Vec<_> = line.split('…').map(words).collect();
    printed.lines().map(words).any(|line| {
        let mut rest = line.as_str();
        parts.iter().all(|part| match rest.split_once(part.as_str()) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    })
}

#[test]
fn the_quickstart_passes_and_fails_as_it_says() {
    let shown: [_; 2] = shown().try_into().expect("one command passes, and one fails");
    // Beside each other: each waits for its chain.
    let running = shown.map(|(arguments, text)| {
        #[expect(clippy::disallowed_methods, reason = "a test program is what is tested")]
        let mut program = Command::new(chain());
        program.args(&arguments).stdout(Stdio::piped());
        (arguments, text, program.spawn().expect("the program can be run"))
    });
    for (arguments, text, program) in running {
        let output = program.wait_with_output().expect("the program ends");
        let printed = String::from_utf8_lossy(&output.stdout);
        let missing: Vec<_> = text.lines().filter(|line| !has(&printed, line)).collect();
        assert!(missing.is_empty(), "{arguments:?} does not print {missing:#?}, but\n{printed}");
        assert_eq!(output.status.success(), !text.contains("FAILED"), "{arguments:?}");
    }
}
