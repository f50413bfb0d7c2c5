//! The last event that a file of JSON lines holds.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use walgate_core::Position;

/// The end of what counts in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Length up to and including the last whole line that has an id.
    pub(crate) len: u64,
    /// The position that the line has.
    pub(crate) last: Option<Position>,
}

/// Bytes that are read at a time, from the end towards the start.
const BLOCK: u64 = 64 << 10;

/// What every event with an id begins with.
const PREFIX: &[u8] = b"{\"id\":\"";
/// What a `schema` event, which has no id, begins with.
const NO_ID: &[u8] = b"{\"op\":\"";
const ID_LEN: usize = 25;

/// Finds the last whole line that has an id. A torn line at the end, and lines without an id behind
/// the last one with an id, do not count.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] when a whole line is not an event.
pub(crate) fn find(file: &mut File) -> io::Result<Tail> {
    let mut end = line_end_before(file, file.metadata()?.len())?;
    while end > 0 {
        let start = line_end_before(file, end - 1)?;
        let mut head = vec![0; PREFIX.len() + ID_LEN];
        file.seek(SeekFrom::Start(start))?;
        let got = file.take(end - start).read(&mut head)?;
        head.truncate(got);
        if let Some(id) = head.strip_prefix(PREFIX) {
            let last = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
            let last = last.ok_or_else(|| not_an_event(start))?;
            return Ok(Tail {
                len: end,
                last: Some(last),
            });
        }
        if !head.starts_with(NO_ID) {
            return Err(not_an_event(start));
        }
        end = start;
    }
    Ok(Tail { len: 0, last: None })
}

fn not_an_event(start: u64) -> io::Error {
    let message = format!("the line at byte {start} is not an event of walgate's");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Where the last line feed before `end` ends; 0 when there is none.
fn line_end_before(file: &mut File, end: u64) -> io::Result<u64> {
    let mut block = Vec::new();
    let mut to = end;
    while to > 0 {
        let from = to.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(from))?;
        block.clear();
        file.take(to - from).read_to_end(&mut block)?;
        if let Some(place) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + place as u64 + 1);
        }
        to = from;
    }
    Ok(0)
}
