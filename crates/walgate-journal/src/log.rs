//! The log on disk: segments in a folder, as plain synchronous state over a
//! [`Storage`](crate::storage::Storage). No threads, no runtime, no clock: `now` is an argument.
//!
//! It has three sides, so that nobody waits for the disk who need not:
//!
//! - [`Appender`] encodes what is appended into [`Pending`] work. It does no I/O, and knows at once
//!   which number an entry has and where it will lie.
//! - [`LogFiles`] does that work: makes files, writes, syncs, seals, deletes. One thread owns it.
//! - [`LogView`] is what readers share: it finds places, and makes [`LogReader`]s, which read files
//!   without any lock that the other two hold.
//!
//! The [`Catalogue`] of segments lies between them, under a lock that is never held during I/O.
//!
//! [`Opened`] is where they come from: it recovers a folder after whatever has happened to it.
//!
//! # Invariants
//!
//! - `synced <= written <= appended`, in bytes of each segment and in entries of the whole log.
//! - A segment that is sealed is never appended to; each start begins a new one.
//! - Segments go from the oldest on, one by one, each removal durable before the next: what is
//!   left is always contiguous.

mod append;
mod by_time;
mod catalogue;
mod chunk;
mod damaged;
mod files;
mod fork;
mod found;
mod marker;
mod offline;
mod open;
mod options;
mod pack;
mod pending;
mod reader;
mod records;
mod recover;
mod repair;
mod retention;
mod scan;
mod spool;
mod spooled;
mod spools;
mod strays;
mod unscanned;
mod view;

pub use append::Appender;
pub use catalogue::{Catalogue, Segment, SegmentState};
pub use chunk::{Chunk, Item, LogEntry, Then};
pub use damaged::DamagedPlace;
pub use files::{DiskState, LogFiles, Synced};
pub use offline::Verified;
pub use open::Opened;
pub use options::LogOptions;
pub use pack::PackedSegment;
pub use pending::Pending;
pub use reader::LogReader;
pub use retention::{Need, Retention, Room};
pub(crate) use spools::Unadopted;
pub use spools::{Committed, FinishedSpool, SpoolOptions, Spools, Taken};
pub use view::LogView;
