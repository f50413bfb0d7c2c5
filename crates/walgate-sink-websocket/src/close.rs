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
    /// Nothing was heard from the client for too long.
    Dead,
}

impl Close {
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
            Self::Slow => 4429,
            Self::Unavailable => 4503,
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
            Self::Dead => "nothing was heard from the client",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_into_a_close_frame() {
        for close in [
            Close::GoingAway,
            Close::Slow,
            Close::Overloaded,
            Close::Silent,
            Close::Unauthorized,
            Close::Refused,
            Close::Resync,
            Close::Ahead,
            Close::Unavailable,
            Close::Dead,
        ] {
            assert!(close.reason().len() <= 123, "{close:?}");
            assert!(
                matches!(close.code(), 1000..=1014 | 4000..=4999),
                "{close:?}"
            );
        }
    }
}
