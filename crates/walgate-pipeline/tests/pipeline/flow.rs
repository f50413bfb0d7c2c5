//! One behaviour a test: from frames to the destination and to what is confirmed.

use std::time::Duration;

use walgate_core::{Feed, Frames, Lsn, Watermark};
use walgate_journal::DEFAULT_BUDGET_BYTES;
use walgate_pipeline::{End, Extras, Pipeline, PipelineOptions, SinkOptions, Stop};

use crate::bench::in_memory;
use crate::line_encoder::LineEncoder;
use crate::log::{Happening, Log, Row};
use crate::scripted_sink::{Destination, ScriptedSink};
use crate::scripted_source::{Act, ScriptedSource};
use crate::stored::{Stored, checkpoint};

const START: Lsn = Lsn(0x100);

fn whole(log: &Log) -> Act {
    Act::Feed(Feed::Frames(log.run(0, log.items.len())))
}

#[tokio::test(start_paused = true)]
async fn a_transaction_comes_out_and_is_confirmed() {
    let log = Log::new(
        START,
        &[Happening::Transaction(vec![Row::Insert(0), Row::Delete(1)])],
    );
    let destination = Destination::default();
    let mut pipeline = Pipeline::new(PipelineOptions::default());
    let mut options = SinkOptions::new("out");
    options.extras = Extras {
        transactions: true,
        schemas: true,
    };
    pipeline.add(
        options,
        LineEncoder::default(),
        ScriptedSink::new(&destination),
        None,
    );
    pipeline.open().await.expect("opens");
    let stored = Stored::new(START, |_| {});
    let source = ScriptedSource::new([whole(&log), Act::Feed(Feed::End)]);
    let confirmed = Watermark::new(START);
    let store = Some(Box::new(stored.clone()) as Box<_>);
    let outcome = pipeline
        .run(
            source,
            in_memory(DEFAULT_BUDGET_BYTES, &checkpoint(START)),
            checkpoint(START),
            store,
            confirmed.clone(),
            Stop::new(),
        )
        .await
        .expect("ends");
    assert_eq!((outcome.end, outcome.confirmed), (End::Source, log.end));
    assert_eq!(confirmed.get(), log.end);
    assert_eq!(stored.get().confirmed, log.end);
    assert_eq!(
        destination.lines(),
        [
            "0000000000000100-00000001 begin - 700",
            "0000000000000100-00000001 schema a 700",
            "0000000000000100-00000002 insert a 700",
            "0000000000000100-00000002 schema b 700",
            "0000000000000100-00000003 delete b 700",
            "0000000000000100-ffffffff commit - 2",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_at_the_head_goes_out_at_once() {
    let log = Log::new(START, &[Happening::Transaction(vec![Row::Insert(0)])]);
    let destination = Destination::default();
    let mut pipeline = Pipeline::new(PipelineOptions::default());
    let sink = ScriptedSink::new(&destination);
    pipeline.add(SinkOptions::new("out"), LineEncoder::default(), sink, None);
    let source = ScriptedSource::new([Act::Sleep(Duration::from_secs(5)), whole(&log)]);
    let confirmed = Watermark::new(START);
    let run = pipeline.run(
        source,
        in_memory(DEFAULT_BUDGET_BYTES, &checkpoint(START)),
        checkpoint(START),
        None,
        confirmed.clone(),
        Stop::new(),
    );
    let start = tokio::time::Instant::now();
    let arrived = async {
        while destination.events().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        start.elapsed()
    };
    tokio::select! {
        _ = run => panic!("it does not end"),
        after = arrived => assert!(after < Duration::from_millis(5_010), "{after:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn keepalives_alone_are_confirmed() {
    let destination = Destination::default();
    let mut pipeline = Pipeline::new(PipelineOptions::default());
    let sink = ScriptedSink::new(&destination);
    pipeline.add(SinkOptions::new("out"), LineEncoder::default(), sink, None);
    let source = ScriptedSource::new([Act::Feed(Feed::Frames(Frames::progress(0, Lsn(0x900))))]);
    let confirmed = Watermark::new(START);
    let run = pipeline.run(
        source,
        in_memory(DEFAULT_BUDGET_BYTES, &checkpoint(START)),
        checkpoint(START),
        None,
        confirmed.clone(),
        Stop::new(),
    );
    tokio::select! {
        _ = run => panic!("it does not end"),
        lsn = confirmed.above(START) => assert_eq!(lsn, Lsn(0x900)),
    }
}
