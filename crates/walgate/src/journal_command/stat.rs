//! `walgate journal stat`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use walgate_core::{Frame, FrameKind, Frames, PgMicros};

use super::{Folder, json, table};
use crate::args::{OnDamage, RangeArgs};
use crate::ending::Ending;
use crate::status_line::{bytes, count, duration};
use crate::wiring::{Piece, clock};

/// A rate over less time than this says nothing about the next hour.
const LEAST_SECONDS: f64 = 1.0;

#[derive(Debug, Serialize)]
struct Stat {
    folder: String,
    segments: usize,
    /// On disk.
    bytes: u64,
    /// What that would be if nothing was compressed.
    plain_bytes: u64,
    transactions: u64,
    changes: u64,
    gaps: u64,
    /// Places that can't be read; what they hold is not counted.
    damaged: usize,
    first_commit: Option<String>,
    last_commit: Option<String>,
    /// Between the first and the last commit; null when that is less than a second.
    changes_per_second: Option<f64>,
    bytes_per_second: Option<f64>,
    /// On disk, with everything that is around a change.
    bytes_per_change: Option<f64>,
    budget_bytes: u64,
    /// How long sinks can be down at this rate before the budget is full.
    outage_seconds: Option<f64>,
    tables: Vec<TableStat>,
}

#[derive(Debug, Serialize)]
struct TableStat {
    table: String,
    operation: &'static str,
    changes: u64,
    /// Of the messages as PostgreSQL sent them.
    bytes: u64,
}

#[derive(Debug, Default)]
struct Counted {
    changes: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Counts {
    tables: BTreeMap<(String, &'static str), Counted>,
    transactions: u64,
    changes: u64,
    gaps: u64,
    times: Option<(PgMicros, PgMicros)>,
}

/// What a folder holds.
pub(super) fn stat(folder: &Folder, as_json: bool) -> Result<String, Ending> {
    let recording = &folder.recording;
    let range = recording.range(&RangeArgs::default())?;
    let mut walk = recording.walk(range, OnDamage::Gap);
    let mut counts = Counts::default();
    while let Some(pieces) = walk.read()? {
        for piece in pieces {
            match piece {
                Piece::Frames(_, frames) => counts.take(&frames),
                Piece::Gap(..) => counts.gaps += 1,
                Piece::Progress(_) => {}
            }
        }
    }
    let stat = evaluate(folder, counts, walk.damaged());
    match as_json {
        true => json(&stat),
        false => Ok(text(&stat)),
    }
}

impl Counts {
    fn take(&mut self, frames: &Frames) {
        for frame in &frames.frames {
            match frame.kind {
                FrameKind::Begin => self.begin(frames, frame),
                FrameKind::Commit => self.transactions += 1,
                FrameKind::Insert => self.row(frames, frame, "insert"),
                FrameKind::Update => self.row(frames, frame, "update"),
                FrameKind::Delete => self.row(frames, frame, "delete"),
                FrameKind::Truncate => self.truncate(frames, frame),
                FrameKind::Message | FrameKind::Standalone => {
                    self.count(String::new(), "message", frame.len);
                }
            }
        }
    }

    fn begin(&mut self, frames: &Frames, frame: &Frame) {
        let Some(begun) = frames.begun(frame) else {
            return;
        };
        let time = begun.commit_time;
        let (first, last) = self.times.unwrap_or((time, time));
        self.times = Some((first.min(time), last.max(time)));
    }

    fn row(&mut self, frames: &Frames, frame: &Frame, operation: &'static str) {
        self.count(name(frames, frame.relation), operation, frame.len);
    }

    fn truncate(&mut self, frames: &Frames, frame: &Frame) {
        let first = usize::from(frame.relation);
        let tables = frames.tables_of(frame) as usize;
        for place in frames.truncated.iter().skip(first).take(tables) {
            self.count(name(frames, *place), "truncate", frame.len);
        }
    }

    fn count(&mut self, table: String, operation: &'static str, bytes: u32) {
        self.changes += 1;
        let counted = self.tables.entry((table, operation)).or_default();
        counted.changes += 1;
        counted.bytes += u64::from(bytes);
    }
}

fn name(frames: &Frames, place: u16) -> String {
    let relation = frames.relations.get(usize::from(place));
    relation.map_or_else(String::new, |relation| {
        format!("{}.{}", relation.schema, relation.name)
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "rates are shown with three digits"
)]
fn evaluate(folder: &Folder, counts: Counts, damaged: usize) -> Stat {
    let view = folder.recording.view();
    let bytes = view.catalogue().bytes();
    let budget = folder.options.budget(view.storage().space().ok());
    let seconds = counts
        .times
        .map(|(first, last)| last.0.saturating_sub(first.0) as f64 / 1e6)
        .filter(|seconds| *seconds >= LEAST_SECONDS);
    let per_second = |amount: u64| seconds.map(|seconds| amount as f64 / seconds);
    let bytes_per_second = per_second(bytes);
    let segments = view.catalogue().segments();
    let saved = segments.iter().filter_map(|segment| {
        let packed_from = segment.packed_from?;
        Some(packed_from.saturating_sub(segment.bytes))
    });
    let plain_bytes = bytes + saved.sum::<u64>();
    Stat {
        folder: folder.recording.folder().display().to_string(),
        segments: view.catalogue().len(),
        bytes,
        plain_bytes,
        transactions: counts.transactions,
        changes: counts.changes,
        gaps: counts.gaps,
        damaged,
        first_commit: counts.times.map(|(first, _)| clock(first)),
        last_commit: counts.times.map(|(_, last)| clock(last)),
        changes_per_second: per_second(counts.changes),
        bytes_per_second,
        bytes_per_change: (counts.changes > 0).then(|| bytes as f64 / counts.changes as f64),
        budget_bytes: budget,
        outage_seconds: bytes_per_second.map(|rate| budget as f64 / rate),
        tables: counts
            .tables
            .into_iter()
            .map(|((table, operation), counted)| TableStat {
                table,
                operation,
                changes: counted.changes,
                bytes: counted.bytes,
            })
            .collect(),
    }
}

fn text(stat: &Stat) -> String {
    let heading = ["TABLE", "OPERATION", "CHANGES", "BYTES"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(stat.tables.iter().map(|one| {
        let table = match one.table.as_str() {
            "" => "(no table)",
            table => table,
        };
        vec![
            table.to_owned(),
            one.operation.to_owned(),
            one.changes.to_string(),
            bytes(one.bytes),
        ]
    }));
    let mut text = table(&rows, &[2, 3]);
    let line = |text: &mut String, name: &str, value: &str| {
        text.push_str(&format!("{name:<14}{value}\n"));
    };
    text.push('\n');
    line(&mut text, "transactions", &stat.transactions.to_string());
    line(&mut text, "changes", &stat.changes.to_string());
    if let (Some(first), Some(last)) = (&stat.first_commit, &stat.last_commit) {
        line(&mut text, "committed", &format!("{first} to {last}"));
    }
    let on_disk = format!("{} in {} segments", bytes(stat.bytes), stat.segments);
    line(&mut text, "on disk", &on_disk);
    if stat.plain_bytes > stat.bytes {
        let percent = stat.bytes.saturating_mul(100) / stat.plain_bytes;
        let saved = format!("to {percent} % of {}", bytes(stat.plain_bytes));
        line(&mut text, "compressed", &saved);
    }
    if let Some(each) = stat.bytes_per_change {
        line(&mut text, "a change", &format!("{each:.0} bytes on disk"));
    }
    if let (Some(changes), Some(rate)) = (stat.changes_per_second, stat.bytes_per_second) {
        let rate = format!("{} changes/s, {}/s", count(changes), bytes(whole(rate)));
        line(&mut text, "rate", &rate);
    }
    let budget = bytes(stat.budget_bytes);
    let outage = match stat.outage_seconds {
        Some(seconds) => {
            let time = duration(Duration::from_secs(whole(seconds)));
            format!("{time} at this rate, with a budget of {budget}")
        }
        None => format!("not known: it spans less than a second; the budget is {budget}"),
    };
    line(&mut text, "outage", &outage);
    if stat.gaps > 0 {
        line(&mut text, "gaps", &stat.gaps.to_string());
    }
    if stat.damaged > 0 {
        let places = format!("{} places, which are not counted", stat.damaged);
        line(&mut text, "damaged", &places);
    }
    text
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and nothing here is negative"
)]
fn whole(number: f64) -> u64 {
    number as u64
}
