//! The log of a node as a file: what it printed, read in parts.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use logos_scenario_runtime::deployer::{ClusterError, Log, LogPart};

/// Reads a part of a node's log.
pub(crate) async fn read_log(node: &str, path: &Path, part: LogPart) -> Result<Log, ClusterError> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_part(&owned, part)).await;
    let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
    read.map_err(|error| ClusterError {
        subject: node.to_owned(),
        what: format!("its log {} cannot be read: {error}", path.display()),
    })
}

fn read_part(path: &Path, part: LogPart) -> io::Result<Log> {
    let mut file = fs::File::open(path)?;
    let begin = if let LogPart::From(begin) = part { begin } else { 0 };
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // A character that is not written whole yet is left for the next call.
    if let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
    let end = begin + bytes.len() as u64;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(match part {
        LogPart::From(_) => Log { text, end },
        LogPart::Last(count) => {
            let skipped = text.lines().count().saturating_sub(count);
            let lines: Vec<&str> = text.lines().skip(skipped).collect();
            Log { text: lines.join("\n"), end }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], part: LogPart) -> (String, u64) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let Log { text, end } = read_part(file.path(), part).unwrap();
        (text, end)
    }

    #[test]
    fn parts_of_a_log_go_on_where_the_last_ended() {
        assert_eq!(read(b"one\ntwo\n", LogPart::From(0)), ("one\ntwo\n".to_owned(), 8));
        assert_eq!(read(b"one\ntwo\n", LogPart::From(4)), ("two\n".to_owned(), 8));
        assert_eq!(read(b"one\ntwo\nthree", LogPart::Last(2)), ("two\nthree".to_owned(), 13));
        assert_eq!(read(b"one", LogPart::Last(5)), ("one".to_owned(), 3));
    }

    #[test]
    fn half_a_character_is_left_for_the_next_part() {
        let text = "blöck".as_bytes();
        assert_eq!(read(&text[..3], LogPart::From(0)), ("bl".to_owned(), 2));
        assert_eq!(read(text, LogPart::From(2)), ("öck".to_owned(), 6));
        assert_eq!(read(b"a\xffb", LogPart::From(0)).0, "a\u{fffd}b");
    }
}
