//! Which pgoutput was asked for.

/// `proto_version` of START_REPLICATION. What each adds, and the first server that has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// Transactions after their commit (10).
    #[default]
    V1,
    /// Streaming of transactions in progress (14).
    V2,
    /// Two-phase commit (15).
    V3,
    /// Streams that are applied in parallel (16).
    V4,
}

impl ProtocolVersion {
    /// The number as the option `proto_version` takes it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }
}

/// `streaming` of START_REPLICATION.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Streaming {
    /// A transaction is sent when it has committed.
    #[default]
    Off,
    /// Large transactions are sent while they run.
    On,
    /// The same, and aborts carry position and time.
    Parallel,
}

/// What was asked for in START_REPLICATION. It decides which messages may come and in which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dialect {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// Whether transactions in progress are streamed.
    pub streaming: Streaming,
}

impl Dialect {
    /// Whether stream messages exist: streaming was asked for, from version 2 on.
    #[inline]
    #[must_use]
    pub const fn has_streams(self) -> bool {
        !matches!(self.version, ProtocolVersion::V1) && !matches!(self.streaming, Streaming::Off)
    }

    /// Whether Stream Abort carries position and time. The server decides by
    /// `streaming 'parallel'`, which it accepts from version 4 on, and not by the version:
    /// version 4 with streaming 'on' has the short form.
    #[inline]
    #[must_use]
    pub const fn has_long_abort(self) -> bool {
        matches!(
            (self.version, self.streaming),
            (ProtocolVersion::V4, Streaming::Parallel)
        )
    }
}
