//! The marker of a failed fsync: a file that outlives the process.

use std::io::{self, ErrorKind};

use crate::storage::Storage;

/// Its name. What it holds means nothing: a disk that fails may not take a byte.
pub(super) const FSYNC_FAILED: &str = "fsync-failed";

/// Leaves the marker.
pub(super) fn set(storage: &dyn Storage) -> io::Result<()> {
    match storage.create(FSYNC_FAILED) {
        Ok(file) => file.sync_data()?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    storage.sync_folder()
}

/// Takes it away: what it warned of is discarded.
pub(super) fn clear(storage: &dyn Storage) -> io::Result<()> {
    match storage.remove(FSYNC_FAILED) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => storage.sync_folder(),
    }
}
