//! What a chain does when its sink, its encoder or its records fail.

use std::time::Duration;

use tokio::time::Instant;
use walgate_core::{ErrorClass, Feed, Lsn, Position, SinkError, StopReason};
use walgate_pipeline::{DeadLetterFile, End, Extras, SinkDeadLetters, SinkOptions, SinkState};

use crate::bench::{Bench, START, end, ids, inserts, optional, runs};
use crate::line_encoder::LineEncoder;
use crate::log::{Happening, Log, Row};
use crate::scripted_sink::{Destination, Fault, ScriptedSink};
use crate::scripted_source::Act;
use crate::stored::checkpoint;

fn down() -> Fault {
    Fault::Reject(SinkError::transient("broker down"))
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_is_tried_again_from_what_is_delivered() {
    let log = Log::new(START, &[inserts(4), inserts(2)]);
    let destination = Destination::default();
    let mut bench = Bench::new([runs(&log, 100), vec![end()]].into_iter().flatten());
    let mut sink = ScriptedSink::new(&destination);
    sink.opens = [down(), down()].into();
    sink.writes = [
        Fault::FailAfter(3, SinkError::transient("cut")),
        down(),
        Fault::None,
    ]
    .into();
    let mut options = SinkOptions::new("out");
    options.extras = Extras {
        transactions: true,
        schemas: false,
    };
    let status = bench.sink(sink, options);
    let outcome = bench.run().await.expect("ends");
    assert_eq!(outcome.confirmed, log.end);
    assert_eq!(status.get().failures, 4);
    assert_eq!(status.get().state, SinkState::Ended);
    let lines = destination.lines();
    // Three became durable in secret, and come again with the same ids.
    assert_eq!(lines[..3], lines[3..6]);
    assert_eq!(lines.len(), 3 + 6 + 4);
    assert!(lines[8].ends_with("commit - 4"), "{}", lines[8]);
    assert!(lines[12].ends_with("commit - 2"), "{}", lines[12]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_can_tell_what_it_holds_gets_nothing_twice() {
    let log = Log::new(START, &[inserts(4)]);
    let destination = Destination::default();
    let mut bench = Bench::new([runs(&log, 100), vec![end()]].into_iter().flatten());
    let mut sink = ScriptedSink::new(&destination);
    sink.can_tell = true;
    sink.writes = [Fault::FailAfter(3, SinkError::transient("cut"))].into();
    let mut options = SinkOptions::new("out");
    options.extras = Extras {
        transactions: true,
        schemas: false,
    };
    bench.sink(sink, options);
    bench.run().await.expect("ends");
    let lines = destination.lines();
    assert_eq!(lines.len(), 6);
    assert!(
        lines[5].ends_with("commit - 4"),
        "the skipped ones count: {}",
        lines[5]
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_wait_longer_and_longer_and_never_more_than_30_seconds() {
    let log = Log::new(START, &[inserts(1)]);
    let destination = Destination::default();
    let mut bench = Bench::new([runs(&log, 100), vec![end()]].into_iter().flatten());
    let mut sink = ScriptedSink::new(&destination);
    sink.opens = std::iter::repeat_n(down(), 20).collect();
    let status = bench.sink(sink, SinkOptions::new("out"));
    let start = Instant::now();
    bench.run().await.expect("ends");
    let bound = Duration::from_millis(500 + 1000 + 2000 + 4000 + 8000 + 16_000 + 14 * 30_000);
    assert!(
        start.elapsed() <= bound + Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(status.get().failures, 20);
    assert_eq!(ids(&destination).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_stops_with_the_remedy_and_the_others_drain() {
    let log = Log::new(START, &[inserts(3)]);
    let (one, two) = (Destination::default(), Destination::default());
    let mut bench = Bench::new(runs(&log, 100));
    let mut broken = ScriptedSink::new(&one);
    let error = SinkError::fatal("not authorised").hint("grant it");
    broken.writes = [Fault::Reject(error)].into();
    bench.sink(broken, SinkOptions::new("kafka"));
    bench.sink(ScriptedSink::new(&two), SinkOptions::new("file"));
    let (stored, closed) = (bench.stored.clone(), std::sync::Arc::clone(&bench.closed));
    let failure = bench.run().await.expect_err("stops");
    assert_eq!(failure.reason, StopReason::Sink);
    assert_eq!(failure.message, "sink kafka: not authorised");
    assert_eq!(failure.hint.as_deref(), Some("grant it"));
    assert_eq!(ids(&two).len(), 3);
    assert_eq!(
        stored.get().confirmed,
        START,
        "not past what the broken sink has"
    );
    assert_eq!(stored.get().sinks["file"].lsn(), log.end);
    assert!(Bench::is_closed(&closed));
}

#[tokio::test(start_paused = true)]
async fn an_optional_sink_that_fails_or_hangs_stops_nobody() {
    let log = Log::new(START, &vec![inserts(50); 100]);
    let [good, broken, hung] = [(); 3].map(|()| Destination::default());
    let mut bench = Bench::new([runs(&log, 20), vec![end()]].into_iter().flatten());
    bench.journal_bytes = 8_000;
    bench.sink(ScriptedSink::new(&good), SinkOptions::new("good"));
    let mut sink = ScriptedSink::new(&broken);
    sink.writes = [Fault::Reject(SinkError::fatal("no"))].into();
    let broken = bench.sink(sink, optional("broken"));
    let mut sink = ScriptedSink::new(&hung);
    sink.writes = [Fault::Hang].into();
    bench.sink(sink, optional("hung"));
    let confirmed = bench.confirmed.clone();
    let run = tokio::spawn(bench.run());
    let start = Instant::now();
    while confirmed.get() < log.end {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    let outcome = run.await.expect("no panic").expect("ends");
    assert_eq!(outcome.end, End::Source);
    // The hung one was given its time and no more.
    assert!(
        start.elapsed() < Duration::from_secs(25),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(ids(&good).len(), 5000);
    assert_eq!(broken.get().state, SinkState::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_slow_optional_sink_is_told_what_it_lost() {
    let log = Log::new(START, &vec![inserts(50); 100]);
    let [good, slow] = [(); 2].map(|()| Destination::default());
    let mut bench = Bench::new([runs(&log, 20), vec![end()]].into_iter().flatten());
    bench.journal_bytes = 8_000;
    bench.sink(ScriptedSink::new(&good), SinkOptions::new("good"));
    let mut sink = ScriptedSink::new(&slow);
    sink.writes = [Fault::Slow(Duration::from_secs(5))].into();
    let mut options = optional("slow");
    options.extras = Extras {
        transactions: true,
        schemas: false,
    };
    bench.sink(sink, options);
    bench.run().await.expect("ends");
    assert_eq!(ids(&good).len(), 5000);
    let lines = slow.lines();
    let gap = lines
        .iter()
        .position(|line| line.contains(" gap "))
        .expect("a gap");
    assert!(lines[gap].ends_with("sink_fell_behind"), "{}", lines[gap]);
    assert!(
        lines[gap + 1].contains(" begin "),
        "whole transactions: {}",
        lines[gap + 1]
    );
    assert!(lines.last().expect("lines").ends_with("commit - 50"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_stops_the_sink_unless_there_are_dead_letters() {
    let log = Log::new(START, &[inserts(5)]);
    let destination = Destination::default();
    let mut bench = Bench::new(runs(&log, 100));
    let mut sink = ScriptedSink::new(&destination);
    sink.refuses = vec![Position::new(0, START, 4)];
    bench.sink(sink, SinkOptions::new("out"));
    let stored = bench.stored.clone();
    let failure = bench.run().await.expect_err("stops");
    assert_eq!(failure.reason, StopReason::Data);
    assert_eq!(
        failure.message,
        "sink out at 0000000000000100-00000004: refused"
    );
    assert!(failure.hint.expect("a hint").contains("dead letters"));
    assert_eq!(stored.get().confirmed, START);
}

#[tokio::test(start_paused = true)]
async fn refused_records_go_to_the_dead_letters_and_the_rest_goes_on() {
    let log = Log::new(
        START,
        &[inserts(5), Happening::Transaction(vec![Row::Update(1)])],
    );
    let destination = Destination::default();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("dead.ndjson");
    let mut bench = Bench::new([runs(&log, 100), vec![end()]].into_iter().flatten());
    let mut sink = ScriptedSink::new(&destination);
    sink.can_tell = true;
    sink.refuses = vec![Position::new(0, START, 3), Position::new(0, START, 5)];
    let encoder = LineEncoder {
        poison: vec!["update b".into()],
        ..LineEncoder::default()
    };
    let status = bench.sink_with_letters(sink, encoder, Box::new(DeadLetterFile::new(&path)));
    let outcome = bench.run().await.expect("ends");
    assert_eq!(outcome.confirmed, log.end);
    assert_eq!(
        ids(&destination),
        [2, 4, 6].map(|index| Position::new(0, START, index).to_string())
    );
    assert_eq!(status.get().dead_letters, 3);
    let text = std::fs::read_to_string(&path).expect("letters");
    let mut letters: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect();
    // What can't be encoded is found before the sink refuses what was sent before it.
    letters.sort_by_key(|letter| letter["id"].to_string());
    assert_eq!(letters.len(), 3);
    assert_eq!(letters[0]["id"], "0000000000000100-00000003");
    assert_eq!(letters[0]["table"], "public.a");
    assert_eq!(letters[0]["key"]["id"], "3");
    assert_eq!(letters[0]["row"]["note"], "new");
    assert_eq!(letters[0]["error"], "refused");
    assert!(
        letters[0]["payload_base64"]
            .as_str()
            .expect("text")
            .starts_with("SQ")
    );
    assert_eq!(letters[2]["op"], "update");
    assert_eq!(
        letters[2]["error"],
        "update of public.b can't be encoded: column note is poison"
    );
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_a_record_that_cannot_be_encoded_is_delivered_before_it_stops() {
    let log = Log::new(START, &[inserts(3), inserts(4)]);
    let destination = Destination::default();
    let poison = Position::new(0, log.items[5].position.lsn(), 4);
    let mut bench = Bench::new([runs(&log, 100), vec![end()]].into_iter().flatten());
    let encoder = LineEncoder {
        poison: vec![poison.to_string()],
        ..LineEncoder::default()
    };
    let sink = ScriptedSink::new(&destination);
    bench
        .pipeline
        .add(SinkOptions::new("out"), encoder, sink, None);
    let stored = bench.stored.clone();
    let failure = bench.run().await.expect_err("stops");
    assert_eq!(failure.reason, StopReason::Data);
    let before: Vec<_> = log.items.iter().map(|item| item.position).collect();
    let before: Vec<_> = [&before[1..4], &before[6..8]]
        .concat()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(ids(&destination), before);
    let stored = stored.get();
    assert_eq!(stored.sinks["out"], Position::new(0, poison.lsn(), 3));
    assert_eq!(stored.confirmed, poison.lsn(), "one transaction is whole");
}

#[tokio::test(start_paused = true)]
async fn a_sink_whose_close_never_ends_does_not_keep_the_pipeline() {
    let log = Log::new(START, &[inserts(1)]);
    let destination = Destination::default();
    let mut bench = Bench::new([runs(&log, 100), vec![end()]].into_iter().flatten());
    let mut sink = ScriptedSink::new(&destination);
    sink.close_hangs = true;
    bench.sink(sink, SinkOptions::new("out"));
    let outcome = bench.run().await.expect("ends");
    assert_eq!(outcome.confirmed, log.end);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_can_be_a_sink_that_is_down_for_a_while() {
    let log = Log::new(START, &[inserts(3)]);
    let [destination, dead] = [(); 2].map(|()| Destination::default());
    let mut bench = Bench::new([runs(&log, 100), vec![end()]].into_iter().flatten());
    let mut sink = ScriptedSink::new(&dead);
    sink.opens = [down()].into();
    let letters = Box::new(SinkDeadLetters::new(sink));
    let encoder = LineEncoder {
        poison: vec!["00000003 insert".into()],
        ..LineEncoder::default()
    };
    bench.sink_with_letters(ScriptedSink::new(&destination), encoder, letters);
    let outcome = bench.run().await.expect("ends");
    assert_eq!(outcome.confirmed, log.end);
    assert_eq!(dead.events().len(), 1);
    assert!(dead.lines()[0].contains("\"error\""));
    assert_eq!(ids(&destination).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_was_closed_ends_it_as_that() {
    let log = Log::new(START, &[inserts(1)]);
    let destination = Destination::default();
    let mut bench = Bench::new(runs(&log, 100));
    let mut sink = ScriptedSink::new(&destination);
    let error = SinkError {
        class: ErrorClass::Closed,
        ..SinkError::fatal("broken pipe")
    };
    sink.writes = [Fault::Reject(error)].into();
    bench.sink(sink, SinkOptions::new("stdout"));
    let failure = bench.run().await.expect_err("stops");
    assert_eq!(failure.reason, StopReason::OutputClosed);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_cannot_be_written_confirms_nothing_until_it_can() {
    let log = Log::new(START, &[inserts(1)]);
    let destination = Destination::default();
    let mut bench = Bench::new(runs(&log, 100));
    bench.sink(ScriptedSink::new(&destination), SinkOptions::new("out"));
    let (fails, confirmed) = (
        std::sync::Arc::clone(&bench.stored.fails),
        bench.confirmed.clone(),
    );
    let _run = tokio::spawn(bench.run());
    // The first checkpoint is written before anything is read.
    while destination.events().is_empty() {
        tokio::task::yield_now().await;
    }
    fails.store(true, std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(confirmed.get(), START);
    fails.store(false, std::sync::atomic::Ordering::SeqCst);
    let start = Instant::now();
    assert_eq!(confirmed.above(START).await, log.end);
    assert!(start.elapsed() <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_last_checkpoint_that_cannot_be_written_is_a_failure() {
    let log = Log::new(START, &[inserts(1)]);
    let destination = Destination::default();
    let mut bench = Bench::new(runs(&log, 100));
    bench.sink(ScriptedSink::new(&destination), SinkOptions::new("out"));
    let (fails, stop) = (
        std::sync::Arc::clone(&bench.stored.fails),
        bench.stop.clone(),
    );
    let confirmed = bench.confirmed.clone();
    let run = tokio::spawn(bench.run());
    while destination.events().is_empty() {
        tokio::task::yield_now().await;
    }
    fails.store(true, std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.drain();
    let failure = run.await.expect("no panic").expect_err("stops");
    assert_eq!(
        (failure.reason, failure.message.as_str()),
        (StopReason::State, "disk full")
    );
    assert_eq!(confirmed.get(), START);
}

#[tokio::test]
async fn without_a_required_sink_nothing_starts() {
    let mut bench = Bench::new([]);
    bench.sink(ScriptedSink::new(&Destination::default()), optional("one"));
    let failure = bench.pipeline.open().await.expect_err("refused");
    assert_eq!(failure.reason, StopReason::Config);
    assert!(failure.message.contains("no sink is required"));
    let failure = bench.run().await.expect_err("refused");
    assert_eq!(failure.reason, StopReason::Config);
}

#[tokio::test]
async fn two_sinks_of_one_name_are_refused() {
    let mut bench = Bench::new([]);
    for _ in 0..2 {
        bench.sink(
            ScriptedSink::new(&Destination::default()),
            SinkOptions::new("one"),
        );
    }
    let failure = bench.pipeline.open().await.expect_err("refused");
    assert_eq!(failure.message, "two sinks have the name one");
}

#[tokio::test(start_paused = true)]
async fn a_sink_behind_what_is_confirmed_is_told_of_the_gap() {
    let log = Log::new(Lsn(0x500), &[inserts(1)]);
    let [good, late] = [(); 2].map(|()| Destination::default());
    let mut bench = Bench::new([runs(&log, 100), vec![end()]].into_iter().flatten());
    bench.start.confirmed = Lsn(0x500);
    bench
        .start
        .sinks
        .insert("late".into(), Position::new(0, Lsn(0x300), 0));
    bench.sink(ScriptedSink::new(&good), SinkOptions::new("good"));
    let status = bench.sink(ScriptedSink::new(&late), optional("late"));
    bench.run().await.expect("ends");
    assert_eq!(ids(&good).len(), 1);
    assert_eq!(status.get().gaps, 1);
    let lines = late.lines();
    assert_eq!(
        lines[0],
        "0000000000000500-00000000 gap - 0/300..0/500 sink_fell_behind"
    );
    assert_eq!(lines.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_a_sink_could_not_be_told_of_is_told_by_the_next_start() {
    let log = Log::new(Lsn(0x500), &[inserts(1)]);
    let [good, late] = [(); 2].map(|()| Destination::default());
    let at = Position::new(0, Lsn(0x300), 0);
    let mut start = checkpoint(Lsn(0x500));
    start.sinks.insert("late".into(), at);
    for is_down in [true, false] {
        let mut bench = Bench::new([runs(&log, 100), vec![end()]].into_iter().flatten());
        bench.start = start;
        bench.sink(ScriptedSink::new(&good), SinkOptions::new("good"));
        let mut sink = ScriptedSink::new(&late);
        if is_down {
            sink.opens = std::iter::repeat_n(Fault::Hang, 10).collect();
        }
        bench.sink(sink, optional("late"));
        let stored = bench.stored.clone();
        bench.run().await.expect("ends");
        start = stored.get();
        if is_down {
            assert_eq!(start.sinks["late"], at);
            start.confirmed = Lsn(0x500);
        }
    }
    assert_eq!(
        late.lines()[0],
        "0000000000000500-00000000 gap - 0/300..0/500 sink_fell_behind"
    );
}

#[tokio::test]
async fn what_opened_sinks_hold_is_told_before_the_start() {
    let destinations = [(); 2].map(|()| Destination::default());
    let mut bench = Bench::new([]);
    for (n, destination) in destinations.iter().enumerate() {
        let at = Position::new(0, Lsn(0x100 * (n as u64 + 1)), 2);
        destination.events().push((at, String::new()));
        let mut sink = ScriptedSink::new(destination);
        sink.can_tell = true;
        bench.sink(sink, SinkOptions::new(n.to_string()));
    }
    assert_eq!(bench.pipeline.held(), None);
    bench.pipeline.open().await.expect("opens");
    assert_eq!(bench.pipeline.held(), Some(Position::new(0, Lsn(0x200), 2)));
}

#[tokio::test(start_paused = true)]
async fn a_raised_epoch_is_a_gap_in_the_new_epoch_wherever_its_lsns_start() {
    for old in [0x300, 0x9000] {
        let log = Log::new(Lsn(0x500), &[inserts(1)]);
        let destination = Destination::default();
        let mut frames = log.run(0, log.items.len());
        frames.epoch = 1;
        let mut bench = Bench::new([Act::Feed(Feed::Frames(frames)), end()]);
        bench.start.confirmed = Lsn(0x500);
        bench.start.source.epoch = 1;
        let at = Position::new(0, Lsn(old), 0);
        bench.start.sinks.insert("out".into(), at);
        bench.sink(ScriptedSink::new(&destination), SinkOptions::new("out"));
        let stored = bench.stored.clone();
        let outcome = bench.run().await.expect("ends");
        assert_eq!(outcome.confirmed, log.end);
        assert_eq!(
            ids(&destination),
            ["0100000000000500-00000000", "0100000000000500-00000002"]
        );
        assert_eq!(stored.get().sinks["out"], Position::new(1, log.end, 0));
    }
}
