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
    let LogPart::From(begin) = part else { return Ok(Log::part(&fs::read(path)?, part)) };
    let mut file = fs::File::open(path)?;
    file.seek(SeekFrom::Start(begin))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    let Log { text, end } = Log::part(&rest, LogPart::From(0));
    Ok(Log { text, end: begin + end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_file_is_that_part_of_its_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let whole = "one\ntwö\nthree\n".as_bytes();
        fs::write(file.path(), whole).unwrap();
        for part in [LogPart::From(0), LogPart::From(4), LogPart::From(15), LogPart::Last(2)] {
            assert_eq!(read_part(file.path(), part).unwrap(), Log::part(whole, part), "{part:?}");
        }
    }
}
