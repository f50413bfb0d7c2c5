//! The format of the journal's files: segments, the records in them, and their index.
//!
//! This is the codec alone: bytes in, [`Frames`](walgate_core::Frames) out and back. It has no I/O
//! and no clock. `SEGMENT.md` in this crate's folder describes every byte.
//!
//! # The way in
//!
//! A [`SegmentWriter`] appends records to a buffer of the caller's, which has to reach the file at
//! the offset that the writer had before. Relations are written once in each segment, under the
//! numbers that one [`Definitions`] gives out for the whole journal. [`SegmentWriter::seal`] adds
//! the [`SegmentIndex`] and the trailer, and nothing is ever appended behind them.
//!
//! # The way out
//!
//! [`SegmentReader::open`] reads a segment from its beginning; [`SegmentReader::resume`] goes on
//! at a point that the index names, once the definitions before it are
//! [loaded](DefinitionPoint::load). [`SegmentReader::next`] takes record by record off a chunk.
//! What comes out keeps the invariants of [`Frames`](walgate_core::Frames) whatever the bytes were:
//! nothing panics, and nothing is allocated from a length that the bytes claim.
//!
//! # When it can't be read
//!
//! [`Next::Incomplete`]: the record goes on behind the chunk; where the file has no more, the
//! tail is torn. [`End::Zeros`]: space that was never written. [`Damage`]: bytes that were never
//! written like that. [`Newer`]: sound, but of a version that this program does not know.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod block;
mod cipher;
mod codes;
mod compression;
mod definition;
mod definitions;
mod error;
mod fields;
mod gap;
mod header;
mod index;
mod keyring;
mod pack;
mod part;
mod reader;
mod record;
mod reference;
mod run;
mod sealed_text;
mod spool;
mod survey;
mod trailer;
mod writer;

pub use cipher::SegmentLock;
pub use compression::Compression;
pub use definitions::{DefinitionCache, Definitions};
pub use error::{Damage, EncodeError, Locked, Newer, Unreadable};
pub use header::{FORMAT_VERSION, MAGIC, SegmentFacts, SegmentHeader};
pub use index::{DefinitionPoint, INDEX_INTERVAL_BYTES, IndexPoint, SegmentIndex};
pub use keyring::{Keyring, KeyringError};
pub use pack::SegmentPacker;
pub use part::{Part, StoredPart};
pub use reader::{End, Location, Next, Record, SegmentReader, Start};
pub use record::{MAX_RECORD_BYTES, RECORD_HEADER_BYTES};
pub use reference::{Adoption, Reference, SpoolPart};
pub use run::Run;
pub use sealed_text::SealedText;
pub use spool::{SPOOL_HEADER_BYTES, SpoolWriter, read_lock, read_part};
pub use survey::CommitTimes;
pub use trailer::{TRAILER_BYTES, Trailer};
pub use writer::SegmentWriter;
