//! Why bytes can't be read, and why frames can't be written.

/// Bytes that were never written like that: a flipped bit, a lost write, a record of another place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at offset {offset}")]
pub struct Damage {
    /// Where in the file, in bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}

/// Sound bytes that say something this program does not know: a later version wrote them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {found} at offset {offset}, written by a later version")]
pub struct Newer {
    /// Where in the file, in bytes from its start.
    pub offset: u64,
    /// What is not known.
    pub what: &'static str,
    /// The value that was found.
    pub found: String,
}

/// Why a record can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The bytes are not what was written.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The bytes are what a later version wrote. Nothing may be cut or skipped because of it.
    #[error(transparent)]
    Newer(#[from] Newer),
    /// The bytes are what was written, encrypted with a key that is not there. Nothing may be cut
    /// or skipped because of it.
    #[error(transparent)]
    Locked(#[from] Locked),
}

/// Bytes that can't be read without a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct Locked {
    /// Where in the file, in bytes from its start.
    pub offset: u64,
    /// The name of the master key.
    pub key: String,
    /// The names of the keys that are there.
    pub given: Vec<String>,
    /// The key is there, and does not open what lies here, though its checksum holds: somebody has
    /// changed it on purpose.
    pub altered: bool,
}

impl Locked {
    fn text(&self) -> String {
        let Self { offset, key, .. } = self;
        if self.altered {
            return format!(
                "what lies at offset {offset} was altered: key {key} does not open it, though its checksum holds"
            );
        }
        match self.given.as_slice() {
            [] => format!("encrypted with key {key}, and no key is given"),
            given => format!(
                "encrypted with key {key}, which is not among those given: {}",
                given.join(", ")
            ),
        }
    }
}

impl Unreadable {
    #[cold]
    pub(super) const fn damage(offset: u64, what: &'static str) -> Self {
        Self::Damage(Damage { offset, what })
    }

    #[cold]
    pub(super) fn newer(offset: u64, what: &'static str, found: impl ToString) -> Self {
        Self::Newer(Newer {
            offset,
            what,
            found: found.to_string(),
        })
    }
}

/// Why something can't be written. The record was not appended; definitions before it may have
/// been, and stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Frames that break the invariants of [`Frames`](walgate_core::Frames): written, they could
    /// not be read again.
    #[error("the frames are not sound: {0}")]
    Frames(&'static str),
    /// More than a record holds ([`MAX_RECORD_BYTES`](super::MAX_RECORD_BYTES)).
    #[error("a record of {bytes} bytes is over the limit of a segment's record")]
    TooLarge {
        /// What the body would take.
        bytes: usize,
    },
    /// Record numbers of a segment, or definition numbers of the journal, are used up (2^32).
    #[error("all {0} numbers are used up")]
    UsedUp(&'static str),
    /// The operating system gives out no random bytes for a key.
    #[error("the operating system gives out no random bytes for a key")]
    NoRandomness,
}
