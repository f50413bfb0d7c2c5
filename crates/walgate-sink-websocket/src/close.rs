//! Why a connection ends.

/// Why the server ends a connection: a documented code, which a client acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// The process ends: come back and resume.
    GoingAway,
    /// The client reads too slowly: come back and resume.
    Slow,
    /// The total memory is used up: come back and resume.
    Overloaded,
    /// It did not say what it wants in time.
    Silent,
    /// The token is missing or wrong.
    Unauthorized,
    /// The subscriptions are wrong.
    Refused,
    /// What was asked for is not there any more.
    Resync,
    /// The position is ahead of this server for too long.
    Ahead,
    /// The log can't be read now: come back and resume.
    Unavailable,
    /// There is no snapshot for it.
    NoSnapshot,
    /// The snapshot has too many rows, or takes too long.
    SnapshotTooLarge,
    /// There is no snapshot now: come back and ask again.
    SnapshotUnavailable,
    /// Its subject has too many connections: close some, or come back later.
    Crowded,
    /// Nothing was heard from the client for too long.
    Dead,
}

impl Close {
    /// Each of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 14] = [
        Self::GoingAway,
        Self::Slow,
        Self::Overloaded,
        Self::Silent,
        Self::Unauthorized,
        Self::Refused,
        Self::Resync,
        Self::Ahead,
        Self::Unavailable,
        Self::NoSnapshot,
        Self::SnapshotTooLarge,
        Self::SnapshotUnavailable,
        Self::Crowded,
        Self::Dead,
    ];

    /// The close code of RFC 6455 section 7.4; from 4000 on they are ours.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::Overloaded => 1013,
            Self::Unauthorized => 4401,
            Self::Refused => 4400,
            Self::Silent => 4408,
            Self::Ahead => 4409,
            Self::Resync => 4410,
            Self::NoSnapshot => 4411,
            Self::SnapshotTooLarge => 4412,
            Self::Slow => 4429,
            Self::Crowded => 4430,
            Self::Unavailable => 4503,
            Self::SnapshotUnavailable => 4504,
            Self::Dead => 4508,
        }
    }

    /// What a person reads; at most 123 bytes, which is what a close frame holds.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "the server stops: reconnect and resume",
            Self::Slow => "the client reads too slowly: reconnect and resume",
            Self::Overloaded => "too much waits for slow clients: reconnect and resume",
            Self::Silent => "no start message in time",
            Self::Unauthorized => "a valid token is needed",
            Self::Refused => "the subscriptions are refused",
            Self::Resync => "the position is not retained any more: take a new copy",
            Self::Ahead => "the position is ahead of this server",
            Self::Unavailable => "the log can't be read now: reconnect and resume",
            Self::NoSnapshot => "the snapshot is refused",
            Self::SnapshotTooLarge => "the snapshot is too large: narrow it",
            Self::SnapshotUnavailable => "there is no snapshot now: reconnect and ask again",
            Self::Crowded => "the subject has too many connections: close some, or come back later",
            Self::Dead => "nothing was heard from the client",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_into_a_close_frame() {
        for close in Close::ALL {
            assert!(close.reason().len() <= 123, "{close:?}");
            assert!(
                matches!(close.code(), 1000..=1014 | 4000..=4999),
                "{close:?}"
            );
        }
    }
}
