//! Why there is no snapshot.

use tokio_postgres::error::SqlState;
use walgate_connection::ConnectError;

/// Why there is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotTrouble {
    /// What it means for who asks.
    pub kind: SnapshotTroubleKind,
    /// What happened, and what helps.
    pub message: String,
}

/// What it means for who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotTroubleKind {
    /// It will be the same again: a right is missing, or the source is a standby.
    Refused,
    /// It has taken too long.
    TooLong,
    /// Another time it may work.
    Unavailable,
}

impl SnapshotTrouble {
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self {
            kind: SnapshotTroubleKind::Refused,
            message: message.into(),
        }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self {
            kind: SnapshotTroubleKind::Unavailable,
            message: message.into(),
        }
    }
}

/// A statement has failed.
pub(super) fn failed(error: &tokio_postgres::Error) -> SnapshotTrouble {
    let Some(server) = error.as_db_error() else {
        return SnapshotTrouble::unavailable(format!(
            "the connection to the source broke: {error}"
        ));
    };
    let said = format!("the source refuses the snapshot: {}", server.message());
    match server.code() {
        code if *code == SqlState::QUERY_CANCELED => SnapshotTrouble {
            kind: SnapshotTroubleKind::TooLong,
            message: "the snapshot takes too long: narrow it with table and where, or raise snapshot_time".to_owned(),
        },
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => SnapshotTrouble::refused(format!(
            "{said} (for a table with row security the role needs BYPASSRLS)"
        )),
        _ => SnapshotTrouble::unavailable(said),
    }
}

/// There is no connection.
pub(super) fn connect_failed(error: &ConnectError) -> SnapshotTrouble {
    SnapshotTrouble::unavailable(format!("can't reach the source: {error}"))
}
