//! With the journal on disk: each sink goes on where it stands, and the fsync is what is confirmed.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;
use walgate_core::{Checkpoint, Lsn, Position, SinkError};
use walgate_journal::segment::SegmentFacts;
use walgate_journal::{DiskJournal, DiskOptions};
use walgate_pgoutput::Dialect;
use walgate_pipeline::{ConfirmBy, ConfirmOptions, End, PipelineOptions, SinkOptions};

use crate::bench::{Bench, START, end, feed, ids, inserts, optional, runs};
use crate::log::Log;
use crate::scripted_sink::{Destination, Fault, ScriptedSink};
use crate::scripted_source::Act;
use crate::stored::checkpoint;

fn facts(start: &Checkpoint) -> SegmentFacts {
    let source = &start.source;
    SegmentFacts {
        system_id: source.system_id,
        timeline: source.timeline,
        epoch: source.epoch,
        slot: source.slot.clone(),
        dialect: Dialect::default(),
        server_version: "17.6".into(),
        settings: Vec::new(),
    }
}

/// A log on disk that goes on behind `start` and what the folder has.
fn open(folder: &Path, start: &Checkpoint, is_new: bool) -> walgate_pipeline::Log {
    let options = DiskOptions::new(folder);
    let disk = DiskJournal::open(options, (!is_new).then_some(start)).expect("opens");
    begin(disk, start)
}

pub(crate) fn begin(disk: DiskJournal, start: &Checkpoint) -> walgate_pipeline::Log {
    let epoch = start.source.epoch;
    let (tail, newest) = (disk.tail(), disk.newest());
    let same = tail.filter(|_| newest.is_some_and(|newest| newest.epoch() == epoch));
    let head = Position::new(epoch, same.unwrap_or_default().max(start.confirmed), 0);
    let tail = tail.zip(newest);
    walgate_pipeline::Log {
        oldest: disk.oldest().unwrap_or(head),
        tail: tail.map_or(head, |(tail, newest)| {
            Position::new(newest.epoch(), tail, 0)
        }),
        head,
        journal: disk.start(facts(start), head).expect("starts"),
    }
}

pub(crate) fn by_fsync() -> PipelineOptions {
    PipelineOptions {
        confirm: ConfirmOptions {
            by: ConfirmBy::Fsync,
            ..ConfirmOptions::default()
        },
        ..PipelineOptions::default()
    }
}

/// A first run on a new folder, with options of its own.
pub(crate) fn with_options(
    folder: &TempDir,
    acts: impl IntoIterator<Item = Act>,
    change: impl FnOnce(&mut DiskOptions),
) -> Bench {
    let mut bench = Bench::with(by_fsync(), acts);
    let mut options = DiskOptions::new(folder.path());
    change(&mut options);
    let disk = DiskJournal::open(options, None).expect("opens");
    bench.log = Some(begin(disk, &bench.start));
    bench
}

/// A first run on a new folder.
pub(crate) fn first(folder: &TempDir, acts: impl IntoIterator<Item = Act>) -> Bench {
    let mut bench = Bench::with(by_fsync(), acts);
    bench.log = Some(open(folder.path(), &bench.start, true));
    bench
}

/// The next run, from what was stored.
pub(crate) fn next(
    folder: &TempDir,
    start: Checkpoint,
    acts: impl IntoIterator<Item = Act>,
) -> Bench {
    let mut bench = Bench::with(by_fsync(), acts);
    bench.log = Some(open(folder.path(), &start, false));
    bench.confirmed.advance(start.confirmed);
    bench.start = start;
    bench
}

fn down(destination: &Destination) -> ScriptedSink {
    let mut sink = ScriptedSink::new(destination);
    let down = Fault::Reject(SinkError::transient("down"));
    sink.opens = std::iter::repeat_n(down, 100_000).collect();
    sink
}

/// Waits for a condition; the disk has a clock of its own.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_fsynced_is_confirmed_while_the_sink_is_down_and_it_gets_all_of_it_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Log::new(START, &vec![inserts(20); 50]);
    let destination = Destination::default();
    let mut bench = first(&folder, runs(&log, 7));
    bench.sink(down(&destination), SinkOptions::new("out"));
    let (confirmed, stored, stop) = (
        bench.confirmed.clone(),
        bench.stored.clone(),
        bench.stop.clone(),
    );
    let run = tokio::spawn(bench.run());
    until("everything is confirmed", || confirmed.get() == log.end).await;
    assert_eq!(stored.get().confirmed, log.end, "in the checkpoint first");
    let asked = Instant::now();
    stop.drain();
    let outcome = run.await.expect("no panic").expect("ends");
    assert_eq!((outcome.end, outcome.confirmed), (End::Kept, log.end));
    assert!(asked.elapsed() < Duration::from_secs(2), "a stop is quick");
    assert_eq!(stored.get().sinks["out"], Position::new(0, START, 0));

    let mut bench = next(&folder, stored.get(), [end()]);
    bench.sink(ScriptedSink::new(&destination), SinkOptions::new("out"));
    let stored = bench.stored.clone();
    let outcome = bench.run().await.expect("ends");
    assert_eq!((outcome.end, outcome.confirmed), (End::Source, log.end));
    let got = ids(&destination);
    assert_eq!(got.len(), 1000);
    assert!(got.is_sorted_by(|a, b| a < b), "in order, once");
    assert_eq!(stored.get().sinks["out"], Position::new(0, log.end, 0));
}

#[tokio::test]
async fn a_sink_is_at_the_head_while_another_is_far_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Log::new(START, &vec![inserts(20); 50]);
    let [up, late] = [(); 2].map(|()| Destination::default());
    let mut bench = first(&folder, runs(&log, 7));
    bench.sink(ScriptedSink::new(&up), SinkOptions::new("up"));
    bench.sink(down(&late), SinkOptions::new("late"));
    let (stored, stop) = (bench.stored.clone(), bench.stop.clone());
    let run = tokio::spawn(bench.run());
    until("one is there", || ids(&up).len() == 1000).await;
    stop.drain();
    let outcome = run.await.expect("no panic").expect("ends");
    assert_eq!(outcome.end, End::Kept);

    let more = Log::new(log.end, &vec![inserts(20); 5]);
    let mut acts = runs(&more, 7);
    acts.push(end());
    let mut bench = next(&folder, stored.get(), acts);
    bench.sink(ScriptedSink::new(&up), SinkOptions::new("up"));
    bench.sink(ScriptedSink::new(&late), SinkOptions::new("late"));
    let outcome = bench.run().await.expect("ends");
    assert_eq!((outcome.end, outcome.confirmed), (End::Source, more.end));
    for destination in [&up, &late] {
        let got = ids(destination);
        assert_eq!(got.len(), 1100);
        assert!(got.is_sorted_by(|a, b| a < b), "in order, once");
    }
}

#[tokio::test]
async fn a_stop_with_a_backlog_is_quick_and_repeats_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Log::new(START, &vec![inserts(20); 200]);
    let destination = Destination::default();
    let mut bench = first(&folder, runs(&log, 50));
    let mut sink = ScriptedSink::new(&destination);
    sink.writes = std::iter::repeat_n(Fault::Slow(Duration::from_millis(20)), 100_000).collect();
    let mut options = SinkOptions::new("out");
    options.batch.max_records = 30;
    bench.sink(sink, options);
    let (confirmed, stored, stop) = (
        bench.confirmed.clone(),
        bench.stored.clone(),
        bench.stop.clone(),
    );
    let run = tokio::spawn(bench.run());
    until("everything is confirmed", || confirmed.get() == log.end).await;
    let asked = Instant::now();
    stop.drain();
    let outcome = run.await.expect("no panic").expect("ends");
    assert_eq!(outcome.end, End::Kept);
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    let held = ids(&destination).len();
    assert!((1..4000).contains(&held), "{held}");

    let mut bench = next(&folder, stored.get(), [end()]);
    bench.sink(ScriptedSink::new(&destination), SinkOptions::new("out"));
    bench.run().await.expect("ends");
    let got = ids(&destination);
    assert_eq!(got.len(), 4000);
    assert!(got.is_sorted_by(|a, b| a < b), "in order, once");
}

#[tokio::test]
async fn a_sink_that_is_ahead_of_the_journal_skips_until_the_log_has_passed_it() {
    let log = Log::new(START, &vec![inserts(20); 10]);
    let folder = tempfile::tempdir().expect("a folder");
    let destination = Destination::default();
    // A power cut: the sink has everything, the journal's folder got lost before its fsync.
    let mut start = checkpoint(START);
    start.sinks.insert(
        "out".into(),
        Position::new(0, log.items[150].position.lsn(), 9),
    );
    let mut acts = runs(&log, 7);
    acts.push(end());
    let mut bench = next(&folder, start, acts);
    bench.sink(ScriptedSink::new(&destination), SinkOptions::new("out"));
    assert!(
        bench
            .pipeline
            .lost(&bench.start, bench.log.as_ref().expect("one"))
            .is_empty()
    );
    let outcome = bench.run().await.expect("ends");
    assert_eq!((outcome.end, outcome.confirmed), (End::Source, log.end));
    let first = ids(&destination).remove(0);
    assert_eq!(
        first,
        Position::new(0, log.items[150].position.lsn(), 10).to_string()
    );
}

#[tokio::test]
async fn what_is_confirmed_and_not_in_the_journal_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut start = checkpoint(Lsn(0x900));
    for (name, at) in [("behind", 0x300), ("there", 0x900)] {
        start
            .sinks
            .insert(name.into(), Position::new(0, Lsn(at), 0));
    }
    let mut bench = next(&folder, start, [end()]);
    for name in ["behind", "there", "new"] {
        bench.sink(
            ScriptedSink::new(&Destination::default()),
            SinkOptions::new(name),
        );
    }
    bench.sink(
        ScriptedSink::new(&Destination::default()),
        optional("optional"),
    );
    let log = bench.log.as_ref().expect("a log");
    let lost = bench.pipeline.lost(&bench.start, log);
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost[0].sink, "behind");
    assert_eq!((lost[0].gap.from, lost[0].gap.to), (Lsn(0x300), Lsn(0x900)));
}

#[tokio::test]
async fn a_new_sink_starts_where_everything_is_confirmed() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Log::new(START, &vec![inserts(20); 10]);
    let [old, new] = [(); 2].map(|()| Destination::default());
    let mut acts = runs(&log, 7);
    acts.push(end());
    let mut bench = first(&folder, acts);
    bench.sink(ScriptedSink::new(&old), SinkOptions::new("old"));
    let stored = bench.stored.clone();
    bench.run().await.expect("ends");

    let more = Log::new(log.end, &[inserts(3)]);
    let mut acts = runs(&more, 7);
    acts.push(end());
    let mut bench = next(&folder, stored.get(), acts);
    bench.sink(ScriptedSink::new(&old), SinkOptions::new("old"));
    bench.sink(ScriptedSink::new(&new), SinkOptions::new("new"));
    bench.run().await.expect("ends");
    assert_eq!((ids(&old).len(), ids(&new).len()), (203, 3));
}

#[tokio::test]
async fn nobody_needs_to_be_required_when_the_fsync_confirms() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Log::new(START, &[inserts(3)]);
    let destination = Destination::default();
    let mut acts = runs(&log, 7);
    acts.push(end());
    let mut bench = first(&folder, acts);
    bench.sink(ScriptedSink::new(&destination), optional("out"));
    let outcome = bench.run().await.expect("ends");
    assert_eq!(outcome.confirmed, log.end);
    assert_eq!(ids(&destination).len(), 3);
}

#[tokio::test]
async fn a_stop_inside_a_transaction_goes_on_inside_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Log::new(START, &[inserts(5), inserts(100)]);
    let destination = Destination::default();
    let mut bench = first(&folder, [feed(&log, 0, 7), feed(&log, 7, 60)]);
    bench.sink(ScriptedSink::new(&destination), SinkOptions::new("out"));
    let (stored, stop) = (bench.stored.clone(), bench.stop.clone());
    let run = tokio::spawn(bench.run());
    let whole = log.items[7].position.lsn();
    until("what was read is delivered", || {
        ids(&destination).len() == 57
    })
    .await;
    stop.drain();
    let outcome = run.await.expect("no panic").expect("ends");
    assert!(
        outcome.confirmed <= whole,
        "the cut transaction is not confirmed"
    );

    let begin = log.begin_before(60);
    let mut bench = next(&folder, stored.get(), [feed(&log, begin, 109), end()]);
    bench.sink(ScriptedSink::new(&destination), SinkOptions::new("out"));
    let outcome = bench.run().await.expect("ends");
    assert_eq!(outcome.confirmed, log.end);
    let got = ids(&destination);
    assert_eq!(got.len(), 105);
    assert!(got.is_sorted_by(|a, b| a < b), "in order, once");
}

#[tokio::test]
async fn a_raised_epoch_delivers_the_old_log_then_a_gap_then_the_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Log::new(Lsn(0x9000), &[inserts(5), inserts(5)]);
    let destination = Destination::default();
    let mut bench = Bench::with(by_fsync(), runs(&log, 4));
    bench.start = checkpoint(Lsn(0x9000));
    bench.log = Some(open(folder.path(), &bench.start, true));
    bench.sink(down(&destination), SinkOptions::new("out"));
    let (confirmed, stored, stop) = (
        bench.confirmed.clone(),
        bench.stored.clone(),
        bench.stop.clone(),
    );
    let run = tokio::spawn(bench.run());
    until("everything is confirmed", || confirmed.get() == log.end).await;
    stop.drain();
    run.await.expect("no panic").expect("ends");

    // Another system, whose LSNs start lower.
    let other = Log::new(Lsn(0x500), &[inserts(2)]);
    let mut frames = other.run(0, other.items.len());
    frames.epoch = 1;
    let mut start = stored.get();
    let disk = DiskJournal::open(DiskOptions::new(folder.path()), Some(&start)).expect("opens");
    start.source.epoch = 1;
    start.confirmed = Lsn(0x500);
    let log = begin(disk, &start);
    let mut bench = Bench::with(
        by_fsync(),
        [Act::Feed(walgate_core::Feed::Frames(frames)), end()],
    );
    bench.log = Some(log);
    bench.confirmed = walgate_core::Watermark::new(Lsn(0x500));
    bench.start = start;
    bench.sink(ScriptedSink::new(&destination), SinkOptions::new("out"));
    let stored = bench.stored.clone();
    let outcome = bench.run().await.expect("ends");
    assert_eq!(outcome.confirmed, other.end);
    let lines = destination.lines();
    assert_eq!(lines.len(), 13, "{lines:#?}");
    assert!(
        lines[10].starts_with("0100000000000500-00000000 gap - "),
        "{}",
        lines[10]
    );
    assert!(ids(&destination).is_sorted_by(|a, b| a < b));
    assert_eq!(stored.get().sinks["out"], Position::new(1, other.end, 0));
}
