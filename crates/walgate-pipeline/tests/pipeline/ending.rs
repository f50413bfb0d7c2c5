//! How a pipeline ends, and how the next one begins.

use std::time::Duration;

use tokio::time::Instant;
use walgate_core::{Failure, Feed, Frames, Gap, GapReason, Lsn, Position, StopReason};
use walgate_pipeline::{BatchOptions, End, Extras, SinkOptions};

use crate::bench::{Bench, START, end, feed, ids, inserts, optional, runs};
use crate::log::Log;
use crate::scripted_sink::{Destination, Fault, ScriptedSink};
use crate::scripted_source::Act;

fn id(index: u32) -> String {
    Position::new(0, START, index).to_string()
}

#[tokio::test(start_paused = true)]
async fn a_stop_drains_what_was_read_and_confirms_it() {
    let log = Log::new(START, &[inserts(10)]);
    let destination = Destination::default();
    let mut bench = Bench::new(runs(&log, 3));
    let mut sink = ScriptedSink::new(&destination);
    sink.flushes = [Fault::Slow(Duration::from_secs(3))].into();
    bench.sink(sink, SinkOptions::new("out"));
    let (stop, closed) = (bench.stop.clone(), std::sync::Arc::clone(&bench.closed));
    let run = tokio::spawn(bench.run());
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.drain();
    let outcome = run.await.expect("no panic").expect("ends");
    assert_eq!((outcome.end, outcome.confirmed), (End::Drained, log.end));
    assert_eq!(ids(&destination).len(), 10);
    assert!(Bench::is_closed(&closed));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_at_its_deadline_whatever_the_sink_does() {
    for hang in ["open", "write", "flush"] {
        let log = Log::new(START, &[inserts(10)]);
        let destination = Destination::default();
        let mut bench = Bench::new(runs(&log, 3));
        let mut sink = ScriptedSink::new(&destination);
        let hangs = std::iter::repeat_n(Fault::Hang, 1000).collect();
        match hang {
            "open" => sink.opens = hangs,
            "write" => sink.writes = hangs,
            _ => sink.flushes = hangs,
        }
        bench.sink(sink, SinkOptions::new("out"));
        let stop = bench.stop.clone();
        let run = tokio::spawn(bench.run());
        tokio::time::sleep(Duration::from_secs(100)).await;
        let start = Instant::now();
        stop.drain();
        let outcome = run.await.expect("no panic").expect("ends");
        assert_eq!(
            (outcome.end, outcome.confirmed),
            (End::Stopped, START),
            "{hang}"
        );
        let took = start.elapsed();
        assert!(
            took >= Duration::from_secs(20) && took < Duration::from_secs(22),
            "{took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_request_ends_it_at_once() {
    let log = Log::new(START, &[inserts(10)]);
    let destination = Destination::default();
    let mut bench = Bench::new(runs(&log, 3));
    let mut sink = ScriptedSink::new(&destination);
    sink.flushes = std::iter::repeat_n(Fault::Hang, 1000).collect();
    bench.sink(sink, SinkOptions::new("out"));
    let stop = bench.stop.clone();
    let run = tokio::spawn(bench.run());
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.drain();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    stop.now();
    let outcome = run.await.expect("no panic").expect("ends");
    assert_eq!(outcome.end, End::Stopped);
    assert!(
        start.elapsed() < Duration::from_millis(10),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_request_ends_it_also_when_all_is_delivered_and_the_source_does_not_close() {
    let log = Log::new(START, &[inserts(10)]);
    let destination = Destination::default();
    let mut bench = Bench::new(runs(&log, 3));
    bench.source.close_hangs = true;
    bench.sink(ScriptedSink::new(&destination), SinkOptions::new("out"));
    let stop = bench.stop.clone();
    let run = tokio::spawn(bench.run());
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.drain();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    stop.now();
    let outcome = run.await.expect("no panic").expect("ends");
    assert_eq!((outcome.end, outcome.confirmed), (End::Drained, log.end));
    let took = start.elapsed();
    assert!(took < Duration::from_millis(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_heard_while_the_source_is_held_back() {
    let log = Log::new(START, &[inserts(100)]);
    let destination = Destination::default();
    let mut bench = Bench::new(runs(&log, 10));
    bench.journal_bytes = 1000;
    let mut sink = ScriptedSink::new(&destination);
    sink.writes = [Fault::Slow(Duration::from_secs(10))].into();
    bench.sink(sink, SinkOptions::new("out"));
    let stop = bench.stop.clone();
    let run = tokio::spawn(bench.run());
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.drain();
    let outcome = run.await.expect("no panic").expect("ends");
    assert_eq!((outcome.end, outcome.confirmed), (End::Drained, START));
    let held = ids(&destination).len();
    assert!((1..100).contains(&held), "{held}");
}

#[tokio::test(start_paused = true)]
async fn after_a_clean_stop_inside_a_transaction_nothing_is_repeated() {
    let log = Log::new(START, &[inserts(10)]);
    let destination = Destination::default();
    let mut options = SinkOptions::new("out");
    options.extras = Extras {
        transactions: true,
        schemas: false,
    };
    let mut bench = Bench::new([feed(&log, 0, 6)]);
    bench.sink(ScriptedSink::new(&destination), options.clone());
    let (stop, stored) = (bench.stop.clone(), bench.stored.clone());
    let run = tokio::spawn(bench.run());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        stored.get().sinks["out"],
        Position::new(0, START, 0),
        "whole transactions"
    );
    stop.drain();
    run.await.expect("no panic").expect("ends");
    assert_eq!(
        stored.get().sinks["out"],
        Position::new(0, START, 6),
        "exactly"
    );
    assert_eq!(stored.get().confirmed, START);

    let mut bench = Bench::new([runs(&log, 4), vec![end()]].into_iter().flatten());
    bench.start = stored.get();
    bench.sink(ScriptedSink::new(&destination), options);
    let outcome = bench.run().await.expect("ends");
    assert_eq!(outcome.confirmed, log.end);
    let mut whole: Vec<_> = (1..=11).map(id).collect();
    whole.push(id(Position::COMMIT));
    assert_eq!(ids(&destination), whole);
    assert!(destination.lines()[11].ends_with("commit - 10"));
}

#[tokio::test(start_paused = true)]
async fn it_ends_after_exactly_as_many_events_as_asked_for() {
    for max in [1, 2, 5, 12, 13] {
        let log = Log::new(START, &[inserts(10), inserts(10)]);
        let destination = Destination::default();
        let mut bench = Bench::new(runs(&log, 4));
        let mut options = SinkOptions::new("out");
        options.extras = Extras {
            transactions: true,
            schemas: false,
        };
        options.max_events = Some(max);
        options.batch = BatchOptions {
            max_records: 3,
            ..BatchOptions::default()
        };
        let mut sink = ScriptedSink::new(&destination);
        sink.can_tell = true;
        sink.writes = [
            Fault::None,
            Fault::FailAfter(2, walgate_core::SinkError::transient("cut")),
        ]
        .into();
        bench.sink(sink, options);
        let outcome = bench.run().await.expect("ends");
        assert_eq!(outcome.end, End::Counted);
        assert_eq!(ids(&destination).len() as u64, max);
        let whole = if max >= 12 { Lsn(START.0 + 48) } else { START };
        assert_eq!(outcome.confirmed, whole);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_source_fails_what_was_read_is_delivered_and_confirmed() {
    let log = Log::new(START, &[inserts(3)]);
    let destination = Destination::default();
    let failure = Failure::new(StopReason::Gap, "the slot is lost");
    let mut bench = Bench::new([feed(&log, 0, 5), Act::Fail(failure.clone())]);
    bench.sink(ScriptedSink::new(&destination), SinkOptions::new("out"));
    let (confirmed, closed) = (
        bench.confirmed.clone(),
        std::sync::Arc::clone(&bench.closed),
    );
    assert_eq!(bench.run().await, Err(failure));
    assert_eq!(ids(&destination).len(), 3);
    assert_eq!(confirmed.get(), log.end);
    assert!(Bench::is_closed(&closed));
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_cut_and_comes_again_comes_out_once() {
    let log = Log::new(START, &[inserts(20)]);
    let destination = Destination::default();
    let cut = [
        feed(&log, 0, 9),
        feed(&log, 0, 4),
        feed(&log, 0, 15),
        feed(&log, 0, 22),
        end(),
    ];
    let mut bench = Bench::new(cut);
    let mut options = SinkOptions::new("out");
    options.extras = Extras {
        transactions: true,
        schemas: true,
    };
    bench.sink(ScriptedSink::new(&destination), options);
    let outcome = bench.run().await.expect("ends");
    assert_eq!(outcome.confirmed, log.end);
    assert_eq!(destination.lines().len(), 23);
    assert!(destination.lines()[22].ends_with("commit - 20"));
}

#[tokio::test(start_paused = true)]
async fn a_gap_of_the_source_reaches_every_sink_and_the_checkpoint() {
    let log = Log::new(Lsn(0x300), &[inserts(1)]);
    let [one, two] = [(); 2].map(|()| Destination::default());
    let gap = Gap {
        from: START,
        to: Lsn(0x300),
        reason: GapReason::SlotAhead,
    };
    let mut bench = Bench::new([
        Act::Feed(Feed::Gap(gap.clone())),
        Act::Feed(Feed::Frames(log.run(0, 3))),
        end(),
    ]);
    bench.source.timeline = Some(7);
    let at = Position::new(0, START, 0);
    bench.start.sinks.insert("one".into(), at);
    bench.sink(ScriptedSink::new(&one), SinkOptions::new("one"));
    bench.sink(ScriptedSink::new(&two), optional("two"));
    let stored = bench.stored.clone();
    bench.run().await.expect("ends");
    for destination in [one, two] {
        let lines = destination.lines();
        assert_eq!(
            lines[0],
            "0000000000000300-00000000 gap - 0/100..0/300 slot_ahead"
        );
        assert_eq!(lines.len(), 2);
    }
    assert_eq!(stored.get().gaps, [gap]);
    assert_eq!(stored.get().source.timeline, 7);
    assert_eq!(stored.get().confirmed, log.end);
}

#[tokio::test(start_paused = true)]
async fn a_huge_transaction_passes_through_a_tiny_ring() {
    let log = Log::new(START, &[inserts(20_000)]);
    let destination = Destination::default();
    let mut bench = Bench::new([runs(&log, 50), vec![end()]].into_iter().flatten());
    bench.journal_bytes = 4000;
    let mut sink = ScriptedSink::new(&destination);
    sink.random = Some(fastrand::Rng::with_seed(7));
    sink.can_tell = true;
    let mut options = SinkOptions::new("out");
    options.extras = Extras {
        transactions: true,
        schemas: false,
    };
    bench.sink(sink, options);
    let outcome = bench.run().await.expect("ends");
    assert_eq!(outcome.confirmed, log.end);
    let lines = destination.lines();
    assert_eq!(lines.len(), 20_002);
    assert!(
        lines[20_001].ends_with("commit - 20000"),
        "{}",
        lines[20_001]
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_its_delay_and_no_longer() {
    let log = Log::new(START, &[inserts(1), inserts(1)]);
    let destination = Destination::default();
    let mut bench = Bench::new([
        feed(&log, 0, 3),
        Act::Sleep(Duration::from_millis(60)),
        feed(&log, 3, 6),
        Act::Sleep(Duration::from_secs(1000)),
        Act::Feed(Feed::Frames(Frames::progress(0, log.end))),
        end(),
    ]);
    let mut options = SinkOptions::new("out");
    options.batch.delay = Duration::from_millis(100);
    bench.sink(ScriptedSink::new(&destination), options);
    let start = Instant::now();
    let _run = tokio::spawn(bench.run());
    while destination.events().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(99) && took < Duration::from_millis(110),
        "{took:?}"
    );
}
