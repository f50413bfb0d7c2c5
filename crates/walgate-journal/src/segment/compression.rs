//! How blocks of records are compressed.

use std::io::Read;

/// How sealed segments are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// They stay as they were written.
    #[default]
    None,
    /// Zstandard in blocks, by a thread of its own once a segment is full: rows of nine columns take
    /// a quarter of the space.
    Zstd,
}

/// The level: on rows, level 3 takes half as much time again for nothing. LZ4 takes two thirds of the
/// time and leaves half as much again (`examples/compression.rs` has the numbers); the thread that
/// compresses has time, and disks have not the space.
const LEVEL: i32 = 1;

/// Compresses; none when that makes it no shorter.
pub(super) fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    let packed = zstd::bulk::compress(plain, LEVEL).ok()?;
    (packed.len() < plain.len()).then_some(packed)
}

/// The plain bytes, which are `len`; none when they are not. Allocates as they come, never from
/// the length that the bytes claim.
pub(super) fn decompress(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(packed).ok()?;
    let mut bounded = decoder.take(len as u64 + 1);
    bounded.read_to_end(&mut plain).ok()?;
    (plain.len() == len).then_some(plain)
}
