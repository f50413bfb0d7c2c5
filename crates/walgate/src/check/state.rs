//! What is remembered of earlier runs.

use walgate_connection::Row;
use walgate_pipeline::CheckpointFile;
use walgate_slot::check::{Identified, Remembered};

use crate::config::Config;

/// What the state folder remembers, read without its lock.
pub(super) fn remembered(config: &Config) -> Remembered {
    let dir = &config.state.dir;
    match CheckpointFile::peek(dir, config.source.slot.as_str()) {
        Ok(Some(checkpoint)) => Remembered::Checkpoint {
            checkpoint: Box::new(checkpoint),
            epoch: config.source.epoch,
        },
        Ok(None) => Remembered::Nothing {
            place: dir.display().to_string(),
        },
        Err(failure) => Remembered::Unreadable {
            error: failure.message,
            hint: failure.hint,
        },
    }
}

/// The row of `IDENTIFY_SYSTEM`.
pub(super) fn identified(row: &Row) -> Option<Identified> {
    Some(Identified {
        system_id: row.get("systemid")?.parse().ok()?,
        timeline: row.get("timeline")?.parse().ok()?,
    })
}
