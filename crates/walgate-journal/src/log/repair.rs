//! What recovery changes in a folder, once everything is decided.

use std::io::{self, ErrorKind};
use std::path::Path;

use walgate_core::Failure;

use super::files::segment_name;
use super::marker;
use super::records;
use crate::storage::{Storage, StoredFile, unusable};

/// What is to be done with the files.
#[derive(Debug, Default)]
pub(super) struct Repair {
    /// Segments that don't count, oldest first.
    pub(super) delete: Vec<u64>,
    /// Segments that were read to find out what of them counts.
    pub(super) keep: Vec<Kept>,
}

/// A segment that stays.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) number: u64,
    /// Where it is cut, if it is.
    pub(super) cut: Option<u64>,
    /// The index and trailer to write at the cut.
    pub(super) seal: Option<Vec<u8>>,
}

/// A segment that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) number: u64,
    /// Its length now.
    pub(super) len: u64,
    pub(super) sealed: bool,
}

impl Repair {
    /// Changes the files. Deletes the newest first, so that what is left is always contiguous, and
    /// makes durable whatever stays. Returns what was cut.
    pub(super) fn carry_out(&self, storage: &dyn Storage) -> Result<Vec<Cut>, Failure> {
        for number in self.delete.iter().rev() {
            match storage.remove(&segment_name(*number)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    let path = storage.path().join(segment_name(*number));
                    return Err(unusable(&path, "can't be deleted", &error));
                }
                _ => sync_folder(storage)?,
            }
        }
        let mut cut = Vec::new();
        for kept in &self.keep {
            cut.extend(kept.carry_out(storage)?);
        }
        if !self.keep.is_empty() {
            sync_folder(storage)?;
        }
        Ok(cut)
    }
}

impl Kept {
    fn carry_out(&self, storage: &dyn Storage) -> Result<Option<Cut>, Failure> {
        let name = segment_name(self.number);
        let path = storage.path().join(&name);
        let file = storage
            .open(&name)
            .map_err(|error| records::unreadable(storage, self.number, &error))?;
        let mut done = None;
        if let Some(cut) = self.cut {
            shorten(file.as_ref(), cut).map_err(|error| unusable(&path, "can't be cut", &error))?;
            let index = self.seal.as_deref().unwrap_or_default();
            let sealed = seal(file.as_ref(), cut, index)
                .map_err(|error| unusable(&path, "can't be sealed", &error))?;
            done = Some(Cut {
                number: self.number,
                len: cut + sealed,
                sealed: sealed > 0,
            });
        }
        match file.sync_data() {
            Ok(()) => Ok(done),
            Err(error) => Err(lost(storage, &path, &error)),
        }
    }
}

fn shorten(file: &dyn StoredFile, len: u64) -> io::Result<()> {
    match file.len()? > len {
        true => file.truncate(len),
        false => Ok(()),
    }
}

/// Writes index and trailer; returns their length. A disk that is full is no reason not to start:
/// the segment stays without an index, and the next start tries again.
fn seal(file: &dyn StoredFile, at: u64, index: &[u8]) -> io::Result<u64> {
    match file.write_at(index, at) {
        Ok(()) => Ok(index.len() as u64),
        Err(error) => match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                file.truncate(at)?;
                Ok(0)
            }
            _ => Err(error),
        },
    }
}

fn sync_folder(storage: &dyn Storage) -> Result<(), Failure> {
    storage
        .sync_folder()
        .map_err(|error| lost(storage, storage.path(), &error))
}

/// After a failed sync nothing is trusted that was not confirmed: the next start discards it.
fn lost(storage: &dyn Storage, path: &Path, error: &io::Error) -> Failure {
    if let Err(error) = marker::set(storage) {
        tracing::debug!(%error, "the marker of a failed fsync can't be written");
    }
    unusable(path, "can't be made durable", error)
}
