//! The checkpoint in the state directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use walgate_core::{Checkpoint, Failure, StopReason};

use crate::checkpoint_json::{DecodeError, decode, encode};
use crate::durable_file::replace;

/// Keeps checkpoints.
pub trait CheckpointStore: Send {
    /// Keeps a checkpoint durably in the place of the last one. Blocks.
    ///
    /// # Errors
    ///
    /// When it is not durable. The last one is then still there.
    fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), Failure>;
}

const CHECKPOINT: &str = "checkpoint";
const TEMPORARY: &str = "checkpoint.new";
const LOCK: &str = "lock";

/// The checkpoint in the state directory, which is locked while this lives: a second process that
/// would use the same directory is refused. The lock ends with the process, whatever ends it.
#[derive(Debug)]
pub struct CheckpointFile {
    directory: PathBuf,
    _lock: File,
}

impl CheckpointFile {
    /// Takes the directory, which is made when it is not there, and reads its checkpoint.
    ///
    /// # Errors
    ///
    /// When another process has the directory, when it can't be used, when the checkpoint is
    /// damaged, of a later version, or of another slot.
    pub fn open(
        directory: impl Into<PathBuf>,
        slot: &str,
    ) -> Result<(Self, Option<Checkpoint>), Failure> {
        let directory = directory.into();
        std::fs::create_dir_all(&directory)
            .map_err(|error| unusable(&directory, "can't be made", &error))?;
        let lock = lock(&directory)?;
        let checkpoint = Self::peek(&directory, slot)?;
        let file = Self {
            directory,
            _lock: lock,
        };
        Ok((file, checkpoint))
    }

    /// Reads the checkpoint of a directory, which another process may be using; none when there is
    /// none.
    ///
    /// # Errors
    ///
    /// When it can't be read, is damaged, of a later version, or of another slot.
    pub fn peek(directory: impl AsRef<Path>, slot: &str) -> Result<Option<Checkpoint>, Failure> {
        let directory = directory.as_ref();
        let checkpoint = read(directory)?;
        match &checkpoint {
            Some(checkpoint) if checkpoint.source.slot != slot => {
                Err(of_another_slot(directory, &checkpoint.source.slot, slot))
            }
            _ => Ok(checkpoint),
        }
    }

    /// Whether another process has a directory.
    pub fn is_in_use(directory: impl AsRef<Path>) -> bool {
        let lock = File::open(directory.as_ref().join(LOCK));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Where the checkpoint is.
    pub fn path(&self) -> PathBuf {
        self.directory.join(CHECKPOINT)
    }
}

impl CheckpointStore for CheckpointFile {
    fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), Failure> {
        let temporary = self.directory.join(TEMPORARY);
        replace(&self.path(), &temporary, &encode(checkpoint))
            .map_err(|error| unusable(&self.path(), "can't be written", &error))
    }
}

fn read(directory: &Path) -> Result<Option<Checkpoint>, Failure> {
    let path = directory.join(CHECKPOINT);
    match std::fs::read(&path) {
        Ok(bytes) => of_bytes(&bytes, &path).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(&path, "can't be read", &error)),
    }
}

/// The bytes of a checkpoint, as every store keeps them.
#[must_use]
pub fn checkpoint_to_bytes(checkpoint: &Checkpoint) -> Vec<u8> {
    encode(checkpoint)
}

/// The checkpoint of bytes that a store has kept; `place` is for messages.
///
/// # Errors
///
/// When it is damaged, of a later version, or of another slot.
pub fn checkpoint_of_bytes(bytes: &[u8], place: &str, slot: &str) -> Result<Checkpoint, Failure> {
    let checkpoint = of_bytes(bytes, Path::new(place))?;
    if checkpoint.source.slot != slot {
        return Err(of_another_slot(
            Path::new(place),
            &checkpoint.source.slot,
            slot,
        ));
    }
    Ok(checkpoint)
}

fn of_bytes(bytes: &[u8], path: &Path) -> Result<Checkpoint, Failure> {
    match decode(bytes) {
        Ok(checkpoint) => Ok(checkpoint),
        Err(DecodeError::Newer(version)) => {
            let message = format!(
                "the checkpoint {} was written by a later release: {}",
                path.display(),
                DecodeError::Newer(version)
            );
            Err(state(message).hint("start the release that has written it, or a later one"))
        }
        Err(error) => {
            let message = format!("the checkpoint {} is damaged: {error}", path.display());
            Err(state(message).hint(format!(
                "restore it from a backup, or adopt the slot where it stands, which may \
                 repeat events: mv {0} {0}.damaged",
                path.display()
            )))
        }
    }
}

fn of_another_slot(directory: &Path, found: &str, wanted: &str) -> Failure {
    state(format!(
        "the state directory {} is of the slot {found:?}, not of {wanted:?}",
        directory.display()
    ))
    .hint("give every slot a state directory of its own, or correct the slot's name")
}

fn lock(directory: &Path) -> Result<File, Failure> {
    let path = directory.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| unusable(&path, "can't be opened", &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // Only for the message; the lock is what counts.
            let owner = match file.read_to_string(&mut owner) {
                Ok(_) if !owner.trim().is_empty() => format!("process {}", owner.trim()),
                _ => "another process".to_owned(),
            };
            let message = format!(
                "the state directory {} is in use by {owner}",
                directory.display()
            );
            return Err(state(message)
                .hint("stop the other process, or give this one a state directory of its own"));
        }
        Err(TryLockError::Error(error)) => {
            return Err(unusable(&path, "can't be locked", &error));
        }
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|error| unusable(&path, "can't be written", &error))?;
    Ok(file)
}

fn state(message: String) -> Failure {
    Failure::new(StopReason::State, message)
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> Failure {
    let directory = path.parent().unwrap_or(path).display();
    let hint = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("make room: df {directory}")
        }
        ErrorKind::ReadOnlyFilesystem => {
            format!("remount the file system writable: findmnt --target {directory}")
        }
        ErrorKind::PermissionDenied => {
            format!("give this process's user the directory: ls -ld {directory}")
        }
        _ => format!("check the directory: ls -ld {directory}"),
    };
    state(format!("{} {what}: {error}", path.display())).hint(hint)
}

#[cfg(test)]
mod tests {
    use walgate_core::Lsn;

    use super::*;
    use crate::checkpoint_json::tests::example;

    fn open(directory: &Path) -> Result<(CheckpointFile, Option<Checkpoint>), Failure> {
        CheckpointFile::open(directory, "walgate")
    }

    fn refused(directory: &Path, slot: &str) -> Failure {
        let failure = CheckpointFile::open(directory, slot).expect_err("refused");
        assert_eq!(failure.reason, StopReason::State);
        assert!(failure.hint.is_some(), "{failure}");
        failure
    }

    #[test]
    fn a_new_directory_is_made_and_has_no_checkpoint() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a").join("b");
        let (mut file, none) = open(&path).expect("opens");
        assert_eq!(none, None);
        file.save(&example()).expect("saves");
        drop(file);
        assert_eq!(open(&path).expect("opens").1, Some(example()));
    }

    #[test]
    fn a_second_process_is_kept_out_until_the_first_has_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let (first, _) = open(directory.path()).expect("opens");
        let failure = refused(directory.path(), "walgate");
        let owner = format!("in use by process {}", std::process::id());
        assert!(failure.message.contains(&owner), "{failure}");
        drop(first);
        open(directory.path()).expect("opens");
    }

    #[test]
    fn a_directory_of_another_slot_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut file, _) = open(directory.path()).expect("opens");
        file.save(&example()).expect("saves");
        drop(file);
        let failure = refused(directory.path(), "other");
        assert!(
            failure
                .message
                .contains("of the slot \"walgate\", not of \"other\"")
        );
    }

    #[test]
    fn damage_at_any_byte_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(CHECKPOINT);
        let bytes = encode(&example());
        for len in 0..bytes.len() {
            std::fs::write(&path, &bytes[..len]).expect("written");
            let failure = refused(directory.path(), "walgate");
            assert!(failure.message.contains("is damaged"), "{failure}");
            assert_eq!(std::fs::read(&path).expect("read"), &bytes[..len]);
        }
    }

    #[test]
    fn a_later_release_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let body = "{}";
        let checksum = crc32c::crc32c(b"9{}");
        let file = format!("walgate-checkpoint 9 {checksum:08x} 2\n{body}\n");
        std::fs::write(directory.path().join(CHECKPOINT), file).expect("written");
        let failure = refused(directory.path(), "walgate");
        assert!(
            failure.message.contains("later release: it has version 9"),
            "{failure}"
        );
    }

    #[test]
    fn what_a_crash_leaves_of_a_new_checkpoint_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut file, _) = open(directory.path()).expect("opens");
        file.save(&example()).expect("saves");
        std::fs::write(directory.path().join(TEMPORARY), b"half of a ch").expect("written");
        drop(file);
        let (mut file, read) = open(directory.path()).expect("opens");
        assert_eq!(read, Some(example()));
        let mut next = example();
        next.confirmed = Lsn(u64::MAX);
        file.save(&next).expect("saves");
        drop(file);
        assert_eq!(open(directory.path()).expect("opens").1, Some(next));
    }

    /// A directory in the place of the temporary file: also root can't write it.
    #[test]
    fn a_checkpoint_that_cannot_be_written_leaves_the_old_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut file, _) = open(directory.path()).expect("opens");
        file.save(&example()).expect("saves");
        std::fs::create_dir(directory.path().join(TEMPORARY)).expect("made");
        let mut next = example();
        next.confirmed = Lsn(u64::MAX);
        let failure = file.save(&next).expect_err("can't");
        assert_eq!(failure.reason, StopReason::State);
        assert!(failure.message.contains("can't be written"), "{failure}");
        drop(file);
        assert_eq!(open(directory.path()).expect("opens").1, Some(example()));
    }

    #[test]
    fn what_is_no_directory_is_refused_with_a_remedy() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        std::fs::write(&path, b"").expect("written");
        let failure = refused(&path, "walgate");
        assert!(failure.message.contains("can't be made"), "{failure}");
    }

    #[test]
    fn the_remedy_fits_the_error() {
        let hint =
            |kind| unusable(Path::new("/s/checkpoint"), "can't", &io::Error::from(kind)).hint;
        assert_eq!(
            hint(ErrorKind::StorageFull).as_deref(),
            Some("make room: df /s")
        );
        assert!(hint(ErrorKind::ReadOnlyFilesystem).is_some_and(|hint| hint.contains("remount")));
        assert!(hint(ErrorKind::PermissionDenied).is_some_and(|hint| hint.contains("user")));
    }
}
