//! What was wrong with bytes that did not decode, and where.

use core::error::Error;
use core::fmt;

use crate::tag::Tag;

/// Bytes that are not what a server sends. Nothing of the message may be used, and the connection
/// that brought it can no longer be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was being decoded.
    pub message: MessageKind,
    /// The field that was being read, in the words of PostgreSQL's documentation.
    pub field: &'static str,
    /// Where the offending bytes start, counted from the first byte that was given to decode.
    pub offset: usize,
    /// What was wrong.
    pub kind: DecodeErrorKind,
}

/// What kind of message a [`DecodeError`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageKind {
    /// A pgoutput message whose tag could not be read or is unknown.
    Unknown,
    /// A pgoutput message.
    Message(Tag),
    /// A copy-both frame whose tag could not be read or is unknown.
    CopyFrame,
    /// The header of an XLogData frame.
    XLogData,
    /// A primary keepalive frame.
    Keepalive,
    /// A standby status update.
    StandbyStatus,
    /// A tuple, column list or relation list given by itself.
    Fragment,
}

/// The reasons why bytes do not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Nothing was given at all.
    Empty,
    /// The bytes end too early.
    Truncated {
        /// Bytes that the field takes.
        needed: usize,
        /// Bytes that there are.
        left: usize,
    },
    /// The message is complete and bytes follow.
    Trailing {
        /// How many bytes follow.
        left: usize,
    },
    /// A length is negative.
    NegativeLength {
        /// The length as it was sent.
        length: i32,
    },
    /// A count is higher than any server sends, or than the bytes left can hold.
    CountTooLarge {
        /// The count as it was sent.
        count: u32,
        /// The highest that could be true here.
        max: u32,
    },
    /// A count or oid is zero, which no server sends there.
    Zero,
    /// A tag byte that no message has.
    UnknownTag {
        /// The byte.
        tag: u8,
    },
    /// A byte that chooses between kinds (of a tuple, a value, a replica identity) is none of them.
    UnknownKind {
        /// The byte.
        kind: u8,
    },
    /// Bits are set that the server keeps at zero.
    UnknownFlags {
        /// All flags as they were sent.
        flags: u8,
    },
    /// A name is not UTF-8. The session asks for `client_encoding=UTF8`; a database with the
    /// encoding SQL_ASCII does not convert.
    NotUtf8,
    /// A string has no terminating zero byte.
    MissingNul,
    /// A message that this dialect does not have: a stream message although no streaming was
    /// asked for.
    NotInDialect,
    /// The message carries no relation of a row. Only [`crate::peek_relation`] says so.
    NotARow,
}

impl DecodeError {
    /// The tag of the pgoutput message, where it is one and was readable.
    #[must_use]
    pub const fn tag(&self) -> Option<Tag> {
        match self.message {
            MessageKind::Message(tag) => Some(tag),
            _ => None,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message,
            field,
            offset,
            kind,
        } = self;
        write!(f, "malformed {message}: {field} at offset {offset}: {kind}")
    }
}

impl Error for DecodeError {}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("pgoutput message"),
            Self::Message(tag) => write!(f, "{tag} message"),
            Self::CopyFrame => f.write_str("replication frame"),
            Self::XLogData => f.write_str("xlogdata frame"),
            Self::Keepalive => f.write_str("keepalive frame"),
            Self::StandbyStatus => f.write_str("standby status update"),
            Self::Fragment => f.write_str("part of a message"),
        }
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no bytes at all"),
            Self::Truncated { needed, left } => {
                write!(f, "{needed} bytes needed, {left} left")
            }
            Self::Trailing { left } => write!(f, "{left} bytes behind the end"),
            Self::NegativeLength { length } => write!(f, "negative length {length}"),
            Self::CountTooLarge { count, max } => {
                write!(f, "count {count} where at most {max} is possible")
            }
            Self::Zero => f.write_str("zero where none can be"),
            Self::UnknownTag { tag } => write!(f, "unknown tag 0x{tag:02x}"),
            Self::UnknownKind { kind } => write!(f, "unknown kind 0x{kind:02x}"),
            Self::UnknownFlags { flags } => write!(f, "unknown flags 0x{flags:02x}"),
            Self::NotUtf8 => f.write_str(
                "not valid utf-8 (is the database's encoding SQL_ASCII? its names must be utf-8)",
            ),
            Self::MissingNul => f.write_str("string without a terminating zero byte"),
            Self::NotInDialect => f.write_str("a stream message, but streaming was not asked for"),
            Self::NotARow => f.write_str("not an insert, update or delete"),
        }
    }
}

/// A message that has no form on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// A string holds a zero byte, which would end it early.
    NulInString {
        /// The field.
        field: &'static str,
    },
    /// A value or content is longer than the 31 bits of its length field.
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// More values, columns or relations than the message can hold.
    TooMany {
        /// The field.
        field: &'static str,
    },
    /// The dialect does not have this message, or not in this form.
    NotInDialect {
        /// The message.
        tag: Tag,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NulInString { field } => write!(f, "{field} holds a zero byte"),
            Self::TooLong { field, len } => {
                write!(f, "{field} of {len} bytes does not fit a 31-bit length")
            }
            Self::TooMany { field } => write!(f, "too many {field} for one message"),
            Self::NotInDialect { tag } => {
                write!(
                    f,
                    "this form of {tag} does not exist in the dialect that was asked for"
                )
            }
        }
    }
}

impl Error for EncodeError {}
