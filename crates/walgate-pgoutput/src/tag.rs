//! The first byte of a pgoutput message.

use core::fmt;

/// Declares the tags once: the byte, the enum, its two conversions and the name in errors.
macro_rules! tags {
    ($($(#[doc = $doc:literal])+ $name:ident = $byte:literal, $text:literal;)+) => {
        /// What a pgoutput message is, as its first byte says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Tag {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Tag {
            /// Every tag there is, up to version 4 of the protocol.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The tag of a byte, if it is one.
            #[inline]
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The byte on the wire.
            #[inline]
            #[must_use]
            pub const fn byte(self) -> u8 {
                match self {
                    $(Self::$name => $byte,)+
                }
            }

            /// The name in PostgreSQL's documentation, in lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

tags! {
    /// A committed transaction begins.
    Begin = b'B', "begin";
    /// It ends.
    Commit = b'C', "commit";
    /// Where the transaction came from.
    Origin = b'O', "origin";
    /// What a table looks like from here on.
    Relation = b'R', "relation";
    /// What a user-defined type is called.
    Type = b'Y', "type";
    /// A row was inserted.
    Insert = b'I', "insert";
    /// A row was updated.
    Update = b'U', "update";
    /// A row was deleted.
    Delete = b'D', "delete";
    /// Tables were emptied.
    Truncate = b'T', "truncate";
    /// `pg_logical_emit_message` was called.
    Message = b'M', "logical decoding message";
    /// A block of a transaction in progress begins.
    StreamStart = b'S', "stream start";
    /// The block ends.
    StreamStop = b'E', "stream stop";
    /// A streamed transaction has committed.
    StreamCommit = b'c', "stream commit";
    /// A streamed transaction, or a sub-transaction of it, was rolled back.
    StreamAbort = b'A', "stream abort";
    /// A transaction that was prepared begins.
    BeginPrepare = b'b', "begin prepare";
    /// It ends, prepared.
    Prepare = b'P', "prepare";
    /// A prepared transaction was committed.
    CommitPrepared = b'K', "commit prepared";
    /// A prepared transaction was rolled back.
    RollbackPrepared = b'r', "rollback prepared";
    /// A streamed transaction was prepared.
    StreamPrepare = b'p', "stream prepare";
}

impl Tag {
    /// Insert, update or delete: a message of one row.
    #[inline]
    #[must_use]
    pub const fn is_row(self) -> bool {
        matches!(self, Self::Insert | Self::Update | Self::Delete)
    }

    /// Whether the message exists only where streaming was asked for.
    #[inline]
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(
            self,
            Self::StreamStart
                | Self::StreamStop
                | Self::StreamCommit
                | Self::StreamAbort
                | Self::StreamPrepare
        )
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
