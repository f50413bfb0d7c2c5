//! What is remembered of earlier runs.

use walgate_connection::Row;
use walgate_slot::check::{Identified, Remembered};

use crate::config::Config;
use crate::wiring::{self, blocking};

/// What the state folder, or the topic, remembers; read without any lock.
pub(super) async fn remembered(config: &Config) -> Remembered {
    let dir = &config.state.dir;
    let of = config.clone();
    match blocking(move || wiring::remembered(&of)).await {
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
