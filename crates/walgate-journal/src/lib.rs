//! The log between the source and the sinks: the one place where data waits.
//!
//! The source [appends](Journal::append) frames; every sink reads them through a [`Cursor`] of its
//! own, [releases](Cursor::release) what it has delivered and [rewinds](Cursor::rewind) to repeat
//! what it has not. What nobody needs any more is freed. When the byte budget is used up, an
//! append waits for the slowest [required](Demand::Required) reader; an
//! [optional](Demand::Optional) reader is never waited for: it is dropped behind, and told so with
//! a [`Gap`](walgate_core::Gap) that names what it has lost.
//!
//! This is the log in memory. It needs no runtime: it wakes whoever waits, and that is all. The
//! interface is that of a log on disk too: reads and appends are asynchronous and can fail, a
//! reader starts at a position and may be told of a gap, and an append may wait.
//!
//! # Positions in the log
//!
//! Runs of frames lie in the order in which they arrived, which is the order of their positions
//! with one exception: after a reconnect the source begins again with the transaction that was
//! cut, so a run may repeat positions of the runs before it. Readers skip what they have seen. A
//! run is freed when its *last* position is released, and only from the front.
#![forbid(unsafe_code)]

mod cursor;
mod journal;
mod reader;
mod ring;
mod stats;

pub use cursor::{Cursor, Read};
pub use journal::{DEFAULT_BUDGET_BYTES, Journal};
pub use reader::Demand;
pub use stats::{JournalStats, ReaderStats};
