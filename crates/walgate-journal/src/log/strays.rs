//! Spools that belong to no segment, and those that do.

use std::io::ErrorKind;

use walgate_core::Failure;

use super::catalogue::Segment;
use super::files::{spool_name, spool_number};
use super::spools::OPEN_SUFFIX;
use crate::storage::{Storage, unusable};

/// Removes the spools of transactions that never committed here, and those whose segment is gone or
/// does not name them (`without`). What they held comes from the slot again, or was deleted.
pub(super) fn remove(
    storage: &dyn Storage,
    segments: &[Segment],
    without: &[u64],
) -> Result<(), Failure> {
    let names_one = |segment: &Segment| !without.contains(&segment.number);
    let mut any = false;
    for name in list(storage)? {
        let is_stray = match spool_number(&name) {
            Some(number) => {
                let mut named = segments.iter().filter(|segment| names_one(segment));
                !named.any(|segment| segment.number == number)
            }
            None => name.ends_with(OPEN_SUFFIX),
        };
        if !is_stray {
            continue;
        }
        any = true;
        match storage.remove(&name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let path = storage.path().join(&name);
                return Err(unusable(&path, "can't be deleted", &error));
            }
            _ => {}
        }
    }
    if !any {
        return Ok(());
    }
    storage
        .sync_folder()
        .map_err(|error| unusable(storage.path(), "can't be made durable", &error))
}

/// Fills in what the spools of segments take.
pub(super) fn measure(storage: &dyn Storage, segments: &mut [Segment]) -> Result<(), Failure> {
    for name in list(storage)? {
        let Some(number) = spool_number(&name) else {
            continue;
        };
        let Some(segment) = segments.iter_mut().find(|one| one.number == number) else {
            continue;
        };
        // One that has gone meanwhile takes nothing.
        let len = storage
            .open(&spool_name(number))
            .and_then(|file| file.len());
        segment.spool_bytes = len.unwrap_or(0);
    }
    Ok(())
}

fn list(storage: &dyn Storage) -> Result<Vec<String>, Failure> {
    storage
        .list()
        .map_err(|error| unusable(storage.path(), "can't be read", &error))
}
