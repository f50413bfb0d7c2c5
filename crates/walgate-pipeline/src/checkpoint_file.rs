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
        let file = Self {
            directory,
            _lock: lock,
        };
        let checkpoint = file.read()?;
        if let Some(checkpoint) = &checkpoint
            && checkpoint.source.slot != slot
        {
            return Err(file.of_another_slot(&checkpoint.source.slot, slot));
        }
        Ok((file, checkpoint))
    }

    /// Where the checkpoint is.
    pub fn path(&self) -> PathBuf {
        self.directory.join(CHECKPOINT)
    }

    fn read(&self) -> Result<Option<Checkpoint>, Failure> {
        let path = self.path();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&path, "can't be read", &error)),
        };
        match decode(&bytes) {
            Ok(checkpoint) => Ok(Some(checkpoint)),
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

    fn of_another_slot(&self, found: &str, wanted: &str) -> Failure {
        state(format!(
            "the state directory {} is of the slot {found:?}, not of {wanted:?}",
            self.directory.display()
        ))
        .hint("give every slot a state directory of its own, or correct the slot's name")
    }
}

impl CheckpointStore for CheckpointFile {
    fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), Failure> {
        let temporary = self.directory.join(TEMPORARY);
        replace(&self.path(), &temporary, &encode(checkpoint))
            .map_err(|error| unusable(&self.path(), "can't be written", &error))
    }
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
