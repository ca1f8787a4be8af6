//! Which keeper a program uses, and where that one's files are.
//!
//! Programs use the same keeper if it would do the same for all of them: the same framework, backends, settings
//! and node program, in the same build folder. Its files are in a short folder that only this user can read,
//! since the path of a socket may have 107 bytes and no more.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use blake2::{Blake2b, Digest, digest::consts::U8};
use serde::{Deserialize, Serialize};

use crate::env;
use crate::failure::{Failure, FailureClass};
use crate::run::scenario_directory;

/// What a keeper has in its folder, by the endings of their names; the lock is the last to go.
const FILES: [&str; 4] = ["sock", "log", "old", "lock"];
/// Bytes of a log to which another keeper still adds its own.
const LONGEST_LOG: u64 = 1 << 20;
/// Bytes of a socket's path, by the kernel.
const LONGEST_PATH: usize = 107;

/// What programs must have in common to use the same keeper.
#[derive(Debug, Serialize)]
pub(crate) struct Parts {
    /// Hash of the framework's sources.
    pub(crate) framework: &'static str,
    /// Name and identity of each backend.
    pub(crate) backends: Vec<(String, String)>,
    /// Type of the node program.
    pub(crate) program: &'static str,
    /// The program itself, where it has backends of its own.
    pub(crate) executable: Option<String>,
}

/// One keeper's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ground {
    directory: PathBuf,
    /// Names the files; the hash of the [`Parts`].
    fingerprint: String,
}

impl Ground {
    /// The place of the keeper that programs with these parts use.
    ///
    /// # Errors
    ///
    /// The folder is not this user's own, or cannot be made.
    pub(crate) fn of(parts: &Parts) -> Result<Self, Failure> {
        let settings = env::settings();
        let all = (parts, scenario_directory(), settings.max_nodes, settings.slow);
        let text = serde_json::to_vec(&all).expect("parts are plain data");
        let fingerprint = hex::encode(Blake2b::<U8>::digest(text));
        let uid = rustix::process::getuid().as_raw();
        let fallback = PathBuf::from(format!("/tmp/scenario-{uid}"));
        let named = settings.runtime_dir.as_ref().map(|folder| folder.join("scenario"));
        let fits =
            |folder: &PathBuf| folder.as_os_str().len() + fingerprint.len() + "/.sock".len() <= LONGEST_PATH;
        let directory = named.filter(fits).filter(|folder| own(folder).is_ok()).unwrap_or(fallback);
        own(&directory).map_err(|seen| {
            Failure::new(FailureClass::Infrastructure, "keeper")
                .expected(format!("{} to be a folder of this user's alone", directory.display()))
                .seen(seen)
                .try_next("remove it, or set XDG_RUNTIME_DIR to a folder that is yours")
        })?;
        Ok(Self { directory, fingerprint })
    }

    /// A place for tests.
    #[cfg(test)]
    pub(crate) fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), fingerprint: "0123456789abcdef".to_owned() }
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.fingerprint))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.file("sock")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.file("log")
    }

    /// The lock that a living keeper holds, if nobody does.
    pub(crate) fn try_lock(&self) -> io::Result<Option<File>> {
        let path = self.file("lock");
        try_lock(&path).map_err(|error| at(&path, &error))
    }

    /// The log, with the last words of those before; a long one is put aside.
    pub(crate) fn open_log(&self) -> io::Result<File> {
        let log = self.log();
        if fs::symlink_metadata(&log).is_ok_and(|log| log.len() > LONGEST_LOG) {
            fs::rename(&log, self.file("old")).map_err(|error| at(&log, &error))?;
        }
        let opened = File::options().create(true).append(true).mode(0o600).open(&log);
        opened.map_err(|error| at(&log, &error))
    }

    /// Removes the files of keepers that ended and were not used for so long. What cannot be removed stays.
    pub(crate) fn clean(&self, unused: Duration) {
        let files = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let fingerprints: BTreeSet<String> =
            files.filter_map(|file| fingerprint_of(&file.file_name().to_string_lossy())).collect();
        for fingerprint in fingerprints.into_iter().filter(|other| *other != self.fingerprint) {
            let ground = Self { directory: self.directory.clone(), fingerprint };
            if ground.is_unused(unused) {
                ground.remove();
            }
        }
    }

    /// Whether none of its files was written for so long; what cannot be told is used.
    fn is_unused(&self, unused: Duration) -> bool {
        FILES.iter().all(|ending| match fs::symlink_metadata(self.file(ending)) {
            Ok(file) => {
                file.modified().ok().and_then(|time| time.elapsed().ok()).is_some_and(|age| age > unused)
            }
            Err(error) => error.kind() == ErrorKind::NotFound,
        })
    }

    /// Removes its files, unless its keeper lives. The lock goes last: who has it knows that there is no keeper.
    fn remove(&self) {
        if let Ok(Some(_lock)) = self.try_lock() {
            FILES.iter().for_each(|ending| _ = fs::remove_file(self.file(ending)));
        }
    }

    /// The end of the log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        match log.lines().last() {
            Some(line) => format!("its last words: {line}"),
            None => "it said nothing".to_owned(),
        }
    }

    /// Notes in the build folder that there is a keeper.
    pub(crate) fn record(&self) -> io::Result<()> {
        self.record_in(&records())
    }

    fn record_in(&self, records: &Path) -> io::Result<()> {
        fs::create_dir_all(records)?;
        // Nobody ever reads half of it.
        let half = records.join(format!(".{}", self.fingerprint));
        fs::write(&half, self.socket().display().to_string())?;
        fs::rename(half, records.join(&self.fingerprint))
    }

    /// Removes what says that there is a keeper.
    pub(crate) fn forget(&self) {
        let _ = fs::remove_file(records().join(&self.fingerprint));
        let _ = fs::remove_file(self.socket());
    }
}

/// Where keepers of this build folder are noted.
fn records() -> PathBuf {
    scenario_directory().join("keepers")
}

/// The sockets of the keepers that were noted in this build folder; of those that cannot be read, why.
///
/// # Errors
///
/// It cannot be told what was noted.
pub(crate) fn sockets() -> io::Result<Vec<Result<PathBuf, String>>> {
    sockets_in(&records())
}

fn sockets_in(records: &Path) -> io::Result<Vec<Result<PathBuf, String>>> {
    let entries = match fs::read_dir(records) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| at(records, &error))?,
    };
    let mut sockets = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| at(records, &error))?.path();
        if path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")) {
            sockets.extend(socket_in(&path).transpose());
        }
    }
    Ok(sockets)
}

/// The socket that a record names, unless the record is gone by now.
fn socket_in(record: &Path) -> Result<Option<PathBuf>, String> {
    match fs::read_to_string(record).map(PathBuf::from) {
        Ok(socket) if socket.is_absolute() => Ok(Some(socket)),
        Ok(socket) => {
            let (record, socket) = (record.display(), socket.display());
            Err(format!("{record} names `{socket}` and no socket: remove it once its keeper has ended"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(record, &error).to_string()),
    }
}

/// Locks a file that is there, or is made; nothing where another has it.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    loop {
        let lock = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        // It may have been removed between the two, and another one be there now.
        match fs::symlink_metadata(path) {
            Ok(there) if there.ino() == lock.metadata()?.ino() => return Ok(Some(lock)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// The keeper that a file belongs to, by the file's name.
fn fingerprint_of(name: &str) -> Option<String> {
    let (fingerprint, ending) = name.split_once('.')?;
    let is_ours = FILES.contains(&ending) && fingerprint.len() == 16;
    (is_ours && fingerprint.chars().all(|it| it.is_ascii_hexdigit())).then(|| fingerprint.to_owned())
}

/// An error with the path where it happened.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Makes a folder that only this user can use, or sees that it is one.
fn own(folder: &Path) -> Result<(), String> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.to_string()),
        _ => {}
    }
    // Of a link its own owner counts, not that of what it names.
    let found = fs::symlink_metadata(folder).map_err(|error| error.to_string())?;
    let mode = found.mode() & 0o777;
    if !found.is_dir() {
        return Err("it is no folder".to_owned());
    }
    if found.uid() != rustix::process::getuid().as_raw() {
        return Err(format!("it belongs to the user with id {}", found.uid()));
    }
    if mode != 0o700 { Err(format!("its mode is {mode:o}, not 700")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("scenario");
        own(&folder).unwrap();
        own(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(own(&folder).unwrap_err(), "its mode is 755, not 700");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert_eq!(own(&link).unwrap_err(), "it is no folder");
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_absent() {
        let directory = tempfile::tempdir().unwrap();
        let records = directory.path().join("keepers");
        assert!(sockets_in(&records).unwrap().is_empty(), "there is no record");
        Ground::at(directory.path()).record_in(&records).unwrap();
        fs::write(records.join("torn"), "").unwrap();
        fs::create_dir(records.join("folder")).unwrap();
        fs::write(records.join(".half"), "/tm").unwrap();
        let mut found = sockets_in(&records).unwrap();
        found.sort();
        let [Ok(socket), Err(one), Err(other)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(*socket, Ground::at(directory.path()).socket());
        assert!(one.contains("folder: ") && other.contains("torn names ``"), "{one}\n{other}");
        fs::write(directory.path().join("file"), "").unwrap();
        let error = sockets_in(&directory.path().join("file")).unwrap_err();
        assert!(error.to_string().contains("file: "), "{error}");
    }

    #[test]
    fn a_keeper_adds_to_what_those_before_said() {
        let directory = tempfile::tempdir().unwrap();
        let ground = Ground::at(directory.path());
        let says =
            |what: &str| io::Write::write_all(&mut ground.open_log().unwrap(), what.as_bytes()).unwrap();
        says("keeper 1: begins\nkeeper 1: its last words\n");
        assert_eq!(ground.last_words(), "its last words: keeper 1: its last words");
        says("keeper 2: begins\n");
        assert!(fs::read_to_string(ground.log()).unwrap().starts_with("keeper 1: begins"));
        says(&"x".repeat(usize::try_from(LONGEST_LOG).unwrap()));
        says("keeper 3: begins\n");
        assert_eq!(fs::read_to_string(ground.log()).unwrap(), "keeper 3: begins\n");
        assert!(fs::read_to_string(ground.file("old")).unwrap().starts_with("keeper 1: begins"));
    }

    #[test]
    fn a_lock_that_is_none_is_told_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let ground = Ground::at(directory.path());
        fs::create_dir(ground.file("lock")).unwrap();
        let error = ground.try_lock().unwrap_err();
        assert!(error.to_string().contains("0123456789abcdef.lock: "), "{error}");
    }

    #[test]
    fn files_of_keepers_that_ended_long_ago_are_removed_and_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let ours = Ground::at(directory.path());
        let of = |fingerprint: &str| Ground { fingerprint: fingerprint.to_owned(), ..ours.clone() };
        let [ended, lives, recent] = ["00", "11", "22"].map(|digits| of(&digits.repeat(8)));
        for ground in [&ours, &ended, &lives, &recent] {
            FILES.iter().for_each(|ending| fs::write(ground.file(ending), "").unwrap());
        }
        fs::write(directory.path().join("foreign.lock"), "").unwrap();
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(7_200);
        for file in fs::read_dir(directory.path()).unwrap() {
            let file = File::options().write(true).open(file.unwrap().path()).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        fs::write(recent.file("log"), "its last words").unwrap();
        let _alive = lives.try_lock().unwrap().expect("nobody has it");
        ours.clean(Duration::from_secs(3_600));
        let has = |ground: &Ground| FILES.map(|ending| ground.file(ending).exists());
        assert_eq!(
            [has(&ours), has(&lives), has(&recent), has(&ended)],
            [[true; 4], [true; 4], [true; 4], [false; 4]]
        );
        assert!(directory.path().join("foreign.lock").exists());
    }
}
