//! The log between the source and the sinks: the one place where data waits.
//!
//! The source [appends](Journal::append) frames; every sink reads them through a [`Cursor`] of its
//! own, [releases](Cursor::release) what it has delivered and [rewinds](Cursor::rewind) to repeat
//! what it has not. What nobody needs any more is freed.
//!
//! # In memory
//!
//! [`Journal::in_memory`] needs no runtime: it wakes whoever waits, and that is all. When the byte
//! budget is used up, an append waits for the slowest [required](Demand::Required) reader; an
//! [optional](Demand::Optional) reader is never waited for: it is dropped behind, and told so with
//! a [`Gap`](walgate_core::Gap) that names what it has lost.
//!
//! # On disk
//!
//! With a [`DiskJournal`] the same ring is the window in memory of a [`log`] of [segments](segment)
//! in a folder. A thread of its own writes and syncs what is appended; readers at the end don't
//! wait for it. An entry leaves memory when it is synced and nobody needs it there, or its room is
//! wanted; a reader that still needs it reads it from disk, and nobody loses anything for memory's
//! sake. On disk it is kept until every required reader has it, and beyond that for replay, within
//! the [budget](DiskOptions::budget_bytes). When the budget is used up because a required reader is
//! behind, appends wait or the reader is released, as [configured](OnFull).
//!
//! What is synced is what may be confirmed to the source: [`Journal::durable`].
//!
//! # Positions in the log
//!
//! Runs of frames lie in the order in which they arrived, which is the order of their positions
//! with one exception: after a reconnect the source begins again with the transaction that was
//! cut, so a run may repeat positions of the runs before it. Readers skip what they have seen. A
//! run is freed when its *last* position is released, and only from the front.
#![forbid(unsafe_code)]

mod cursor;
mod disk_journal;
mod disk_options;
mod journal;
mod lagging;
pub mod log;
mod reader;
mod ring;
pub mod segment;
mod stats;
pub mod storage;
mod writer_thread;

pub use cursor::{Cursor, Read};
pub use disk_journal::DiskJournal;
pub use disk_options::{DiskOptions, OnDamage, OnFull};
pub use journal::{DEFAULT_BUDGET_BYTES, Journal};
pub use reader::Demand;
pub use stats::{DiskState, DiskStats, JournalStats, ReaderStats};
