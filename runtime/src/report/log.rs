//! The logs of all nodes of a run, merged by time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use super::{Record, mask};

/// The most of one run's logs that a page holds, in bytes.
const ROOM: u64 = 6 << 20;

/// Lines of several nodes in the order of their times.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MergedLog {
    pub(crate) lines: Vec<Line>,
}

/// A line of one node's log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Since the run began; negative on a cluster that was there before. A line without a time has that of the line
    /// before it.
    pub(crate) second: Option<f64>,
    /// Which of the record's nodes.
    pub(crate) node: usize,
    pub(crate) level: Level,
    pub(crate) text: String,
}

/// How serious a line is; the page's script knows these by their numbers, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    /// By the first word of the line that names a level; a panic is an error.
    fn of(line: &str) -> Self {
        if line.contains("panicked at") {
            return Self::Error;
        }
        let named = line.split_whitespace().take(3).find_map(|word| {
            Some(match word.trim_matches(|sign: char| !sign.is_ascii_alphabetic()) {
                "ERROR" => Self::Error,
                "WARN" => Self::Warn,
                "INFO" => Self::Info,
                "DEBUG" => Self::Debug,
                "TRACE" => Self::Trace,
                _ => return None,
            })
        });
        named.unwrap_or(Self::Info)
    }
}

/// Reads the logs that a record names; what is not there goes to `missing`.
pub(crate) fn merge(record: &Record, missing: &mut Vec<String>) -> MergedLog {
    let began = record.began();
    let room = ROOM / record.logs.len().max(1) as u64;
    let mut all: Vec<VecDeque<Line>> = Vec::new();
    for (node, place) in record.logs.iter().enumerate() {
        let name = record.nodes.get(node).map_or("a node", |(name, _)| name);
        match end_of(Path::new(place), room) {
            Ok((text, left_out)) => {
                if left_out > 0 {
                    missing.push(format!(
                        "the first {left_out} bytes of the log of {name} are left out here, see {place}"
                    ));
                }
                all.push(parsed(&text, node, began));
            }
            Err(error) => missing.push(format!("the log of {name} cannot be read at {place}: {error}")),
        }
    }
    let mut lines = Vec::with_capacity(all.iter().map(VecDeque::len).sum());
    let front = |log: &VecDeque<Line>| log.front().and_then(|line| line.second).unwrap_or(f64::NEG_INFINITY);
    while let Some(first) =
        all.iter_mut().filter(|log| !log.is_empty()).min_by(|one, other| front(one).total_cmp(&front(other)))
    {
        lines.extend(first.pop_front());
    }
    MergedLog { lines }
}

/// The last `room` bytes of a file, from the beginning of a line on, and how many are before them.
fn end_of(path: &Path, room: u64) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut left_out = length.saturating_sub(room);
    file.seek(SeekFrom::Start(left_out))?;
    let mut bytes = Vec::new();
    file.take(room).read_to_end(&mut bytes)?;
    if left_out > 0 {
        let cut = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        left_out += bytes.drain(..cut).len() as u64;
    }
    Ok((String::from_utf8_lossy(&bytes).into_owned(), left_out))
}

fn parsed(text: &str, node: usize, began: SystemTime) -> VecDeque<Line> {
    let mut second = None;
    let line = |line: &str| {
        let text = plain(line);
        if let Some(time) = time_of(&text) {
            second = Some(match time.duration_since(began) {
                Ok(after) => after.as_secs_f64(),
                Err(before) => -before.duration().as_secs_f64(),
            });
        }
        Line { second, node, level: Level::of(&text), text: mask::text(&text).into_owned() }
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(line).collect()
}

/// When a line was written, which may have the colours of a terminal.
pub(crate) fn logged_at(line: &str) -> Option<SystemTime> {
    time_of(&plain(line))
}

fn time_of(line: &str) -> Option<SystemTime> {
    line.split_whitespace().next().and_then(|word| humantime::parse_rfc3339_weak(word).ok())
}

/// A line without the colours of a terminal.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        match sign {
            // An escape ends with a letter.
            '\u{1b}' => _ = signs.by_ref().find(char::is_ascii_alphabetic),
            '\t' => plain.push(sign),
            sign if sign.is_control() => {}
            sign => plain.push(sign),
        }
    }
    plain
}
