//! The message that proves the way from a commit to us.

/// Prefix of the transactional messages that are ours.
pub const HEARTBEAT_PREFIX: &str = "walgate";

/// Content of a heartbeat.
pub const HEARTBEAT_CONTENT: &str = "heartbeat";

/// Whether a message is a heartbeat: it is counted like any message, and never delivered.
#[must_use]
pub fn is_heartbeat(prefix: &str, content: &[u8]) -> bool {
    prefix == HEARTBEAT_PREFIX && content == HEARTBEAT_CONTENT.as_bytes()
}
