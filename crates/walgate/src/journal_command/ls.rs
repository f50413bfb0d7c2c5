//! `walgate journal ls`.

use serde::Serialize;
use walgate_core::Failure;
use walgate_journal::log::{Segment, SegmentState};

use super::{Folder, json, table};
use crate::ending::Ending;
use crate::status_line::bytes;
use crate::wiring::{Recording, clock};

#[derive(Debug, Serialize)]
struct Listed {
    folder: String,
    bytes: u64,
    /// Everything up to here is not kept.
    from: String,
    /// The end of the last whole transaction.
    to: String,
    segments: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    number: u64,
    file: String,
    state: &'static str,
    bytes: u64,
    /// Its size before it was compressed; null when it is not.
    packed_from: Option<u64>,
    /// The name of the key that it is encrypted with; null when it is not.
    key: Option<String>,
    entries: u64,
    /// Positions: everything up to `from` lies before it, nothing behind `to` in it.
    from: String,
    to: String,
    created: String,
    first_commit: Option<String>,
    last_commit: Option<String>,
}

/// The segments of a folder.
pub(super) fn ls(folder: &Folder, as_json: bool) -> Result<String, Ending> {
    let recording = &folder.recording;
    let segments = recording.view().catalogue().segments();
    if as_json {
        return json(&Listed {
            folder: recording.folder().display().to_string(),
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            from: recording.view().catalogue().oldest().to_string(),
            to: recording.whole().to_string(),
            segments: segments
                .iter()
                .map(|segment| row(recording, segment))
                .collect::<Result<_, Failure>>()?,
        });
    }
    let heading = [
        "SEGMENT",
        "FROM",
        "TO",
        "ENTRIES",
        "BYTES",
        "STATE",
        "COMMITTED",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for segment in &segments {
        rows.push(vec![
            format!("{:016x}", segment.number),
            segment.before.lsn().to_string(),
            segment.highest.lsn().to_string(),
            entries(segment).to_string(),
            bytes(segment.bytes),
            shape(recording, segment)?,
            committed(segment),
        ]);
    }
    let mut text = table(&rows, &[3, 4]);
    let all = segments.iter().map(|segment| segment.bytes).sum();
    text.push_str(&format!(
        "{} segments, {}; whole transactions behind {} up to {}\n",
        segments.len(),
        bytes(all),
        recording.view().catalogue().oldest().lsn(),
        recording.whole().lsn(),
    ));
    Ok(text)
}

fn row(recording: &Recording, segment: &Segment) -> Result<Row, Failure> {
    Ok(Row {
        number: segment.number,
        file: format!("{:016x}.segment", segment.number),
        state: state(segment),
        bytes: segment.total_bytes(),
        packed_from: segment.packed_from,
        key: recording.view().key_id(segment.number)?,
        entries: entries(segment),
        from: segment.before.to_string(),
        to: segment.highest.to_string(),
        created: clock(segment.created),
        first_commit: segment.commit_times.map(|(first, _)| clock(first)),
        last_commit: segment.commit_times.map(|(_, last)| clock(last)),
    })
}

/// What it is, and what was done to it.
fn shape(recording: &Recording, segment: &Segment) -> Result<String, Failure> {
    let mut shape = state(segment).to_owned();
    if let Some(packed_from) = segment.packed_from {
        let percent = segment.bytes.saturating_mul(100) / packed_from.max(1);
        shape.push_str(&format!(", compressed to {percent} %"));
    }
    if segment.spool_bytes > 0 {
        shape.push_str(", with a spool");
    }
    if recording.view().key_id(segment.number)?.is_some() {
        shape.push_str(", encrypted");
    }
    Ok(shape)
}

fn entries(segment: &Segment) -> u64 {
    segment.end_entry.saturating_sub(segment.first_entry)
}

fn state(segment: &Segment) -> &'static str {
    match segment.state {
        SegmentState::Sealed => "sealed",
        SegmentState::Open | SegmentState::Active => "open",
    }
}

fn committed(segment: &Segment) -> String {
    match segment.commit_times {
        Some((first, last)) => format!("{} to {}", clock(first), clock(last)),
        None => "nothing".to_owned(),
    }
}
