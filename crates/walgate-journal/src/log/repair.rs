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
    /// The last segment that retention has deleted, as far as anybody knows. When the sync behind
    /// its removal has failed, it may come back with a power cut, and look as if the segments behind
    /// it were missing: it is made and removed once more.
    pub(super) forget: Option<u64>,
    /// Segments that were read to find out what of them counts.
    pub(super) keep: Vec<Kept>,
    /// Those of them that name no spool: one that is there all the same was named by what is cut.
    pub(super) without_spool: Vec<u64>,
}

/// A segment that stays.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) number: u64,
    /// Where it is cut, if it is.
    pub(super) cut: Option<u64>,
    /// The index and trailer to write at the cut.
    pub(super) seal: Option<Vec<u8>>,
    /// Its bytes are written anew, since they may only seem to be there: of what a failed sync has
    /// dropped, Linux still shows what is in the cache, and the next sync writes none of it. Where
    /// the disk could, it left a marker; a disk that is read-only can't.
    pub(super) rewrite: bool,
}

/// Behind the number of a segment that is written anew, until it takes the name of the old one.
pub(super) const COPY: &str = ".copy";

/// What is copied at once.
const COPY_BYTES: usize = 1 << 20;

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
        remove_copies(storage)?;
        for number in self.delete.iter().rev() {
            match storage.remove(&segment_name(*number)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    let path = storage.path().join(segment_name(*number));
                    return Err(unusable(&path, "can't be deleted", &error));
                }
                _ => sync_folder(storage)?,
            }
        }
        if let Some(number) = self.forget {
            let name = segment_name(number);
            // A disk that is full leaves it as it is: it would have to come back first.
            if storage.create(&name).is_ok() {
                let path = storage.path().join(&name);
                let removed = storage.remove(&name);
                removed.map_err(|error| unusable(&path, "can't be deleted", &error))?;
                sync_folder(storage)?;
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
        if self.rewrite {
            match self.write_anew(storage, file.as_ref()) {
                Ok(cut) => return Ok(Some(cut)),
                // There is no room for both: the old one has to do.
                Err(error) if is_full(&error) => remove_copies(storage)?,
                Err(error) => return Err(unusable(&path, "can't be written anew", &error)),
            }
        }
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

    /// Copies what is kept into a new file, which takes the old one's place.
    fn write_anew(&self, storage: &dyn Storage, old: &dyn StoredFile) -> io::Result<Cut> {
        let name = segment_name(self.number);
        let copy = format!("{name}{COPY}");
        let new = storage.create(&copy)?;
        let end = match self.cut {
            Some(cut) => cut,
            None => old.len()?,
        };
        let mut offset = 0;
        while offset < end {
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let bytes = records::read(old, offset, left.min(COPY_BYTES))?;
            if bytes.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            new.write_at(&bytes, offset)?;
            offset += bytes.len() as u64;
        }
        let index = self.seal.as_deref().unwrap_or_default();
        new.write_at(index, end)?;
        new.sync_data()?;
        storage.rename(&copy, &name)?;
        Ok(Cut {
            number: self.number,
            len: end + index.len() as u64,
            sealed: !index.is_empty(),
        })
    }
}

/// What an earlier recovery did not finish.
fn remove_copies(storage: &dyn Storage) -> Result<(), Failure> {
    let names = storage
        .list()
        .map_err(|error| unusable(storage.path(), "can't be read", &error))?;
    for name in names.iter().filter(|name| name.ends_with(COPY)) {
        storage
            .remove(name)
            .map_err(|error| unusable(&storage.path().join(name), "can't be deleted", &error))?;
    }
    Ok(())
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
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
        Err(error) if is_full(&error) => {
            file.truncate(at)?;
            Ok(0)
        }
        Err(error) => Err(error),
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
