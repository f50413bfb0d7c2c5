//! Bytes to messages of pgoutput versions 1 to 4 and back, and the frames of copy-both mode.
//!
//! This crate has no I/O, no clock, no runtime and no logging: bytes in, messages out. A decoded
//! [`Message`] borrows from the frame that it was decoded from, and nothing is allocated for it.
//! Nothing is ever allocated from a length that the bytes claim, and no byte sequence can make it
//! panic: every read goes through one cursor that checks it.
//!
//! The way of a frame: [`CopyFrame::decode`] opens what a CopyData message holds, [`decode`] opens
//! the payload of an XLogData, [`OrderChecker`] says whether a server may send that message now.
//! [`tag`] and [`peek_relation`] look at a payload without decoding it.
//!
//! # Strictness
//!
//! Bytes behind the end of a message, a flag bit or a kind that PostgreSQL 14 to 18 never send,
//! and text that is not UTF-8 where a name belongs are errors: whoever decodes a meaning that it
//! does not know would forward something else than what the log says. PostgreSQL's apply worker
//! is as strict about the flags of commits and prepares and ignores unknown bits of columns,
//! truncates and messages; no server sets any of them, so refusing them costs nothing and keeps
//! `encode(decode(x)) == x` true for everything that decodes.
//!
//! The formats: <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>
//! and <https://www.postgresql.org/docs/current/protocol-replication.html>; in PostgreSQL's source
//! `src/backend/replication/logical/proto.c`.
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

extern crate alloc;

mod copy_frame;
mod dialect;
mod error;
mod logical_message;
mod lsn;
mod message;
mod order;
mod order_error;
mod peek;
mod reader;
mod relation;
mod row;
mod standby;
mod stream;
mod tag;
mod time;
mod transaction;
mod truncate;
mod tuple;
mod two_phase;
mod writer;

pub use copy_frame::{CopyFrame, KEEPALIVE_LEN, XLOG_DATA_HEADER};
pub use dialect::{Dialect, ProtocolVersion, Streaming};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, MessageKind};
pub use lsn::{Lsn, ParseLsnError};
pub use message::{Message, decode};
pub use order::OrderChecker;
pub use order_error::OrderError;
pub use peek::{peek_relation, tag};
pub use relation::{Column, Columns, ColumnsBuf, RelationBody, ReplicaIdentity};
pub use standby::{STANDBY_STATUS_LEN, StandbyStatus};
pub use tag::Tag;
pub use time::PgMicros;
pub use truncate::{RelationOids, RelationOidsBuf};
pub use tuple::{MAX_COLUMNS, OldTuple, Tuple, TupleBuf, Value, Values};

/// An object identifier of PostgreSQL: unsigned, and values from 2^31 are as good as any other.
pub type Oid = u32;

/// A transaction identifier as the log holds it: 32 bits, without the epoch, so it wraps around.
pub type Xid = u32;
