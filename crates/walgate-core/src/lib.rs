//! What every part of Walgate speaks: positions, relations, tables, frames, changes, batches,
//! and the traits between the parts.
//!
//! Nothing here does I/O, reads a clock or knows a runtime: `std` and [`walgate_pgoutput`] only.
//!
//! # The way of a change
//!
//! A [`Source`] hands over [`Frames`]: raw pgoutput messages as the server sent them, each with its
//! place in the log. The journal keeps them; each sink's chain reads them, turns a frame into a
//! [`Change`] and lets an [`Encoder`] append its bytes to a [`Batch`], which a [`Sink`] delivers.
//! The sink publishes the [`Position`] that it holds durably through a [`Watermark`]; the least of
//! the required sinks becomes the position that is confirmed to PostgreSQL.
#![forbid(unsafe_code)]

mod backoff;
mod batch;
mod change;
mod checkpoint;
mod downtime;
mod encoder;
mod failure;
mod frames;
mod gap;
mod heartbeat;
mod position;
mod relation;
mod row_key;
mod secret;
mod shape;
mod sink;
mod source;
mod streamed;
mod table;
mod watermark;

pub use backoff::{Backoff, BackoffOptions};
pub use batch::{Batch, Record, Span};
pub use change::{Body, Change, Op};
pub use checkpoint::{Checkpoint, SourceIdentity};
pub use downtime::Downtime;
pub use encoder::{EncodeError, Encoded, Encoder};
pub use failure::{ErrorClass, Failure, StopReason};
pub use frames::{Frame, FrameKind, Frames, Transaction};
pub use gap::{Gap, GapReason};
pub use heartbeat::{HEARTBEAT_CONTENT, HEARTBEAT_PREFIX, is_heartbeat};
pub use position::{ParsePositionError, Position};
pub use relation::{Column, Relation};
pub use row_key::{KeyValues, RowKey};
pub use secret::Secret;
pub use shape::{ParseShapeError, Scalar, Shape};
pub use sink::{Sink, SinkError};
pub use source::{Feed, Source, streams_nothing};
pub use streamed::{Streamed, StreamedFrame, StreamedFrames};
pub use table::{ColumnUse, Table};
pub use walgate_pgoutput::{Lsn, Oid, OldTuple, PgMicros, ReplicaIdentity, Tuple, Value, Xid};
pub use watermark::Watermark;
