use walgate_core::{ReplicaIdentity, StreamedFrames};

use super::again::Why;
use super::wire::{STREAMING, Wire};
use super::*;
use crate::definition::Facts;

const ID: &[(&str, Oid)] = &[("id", 23)];
const TWO: &[(&str, Oid)] = &[("id", 23), ("more", 25)];

fn sequencer() -> Sequencer {
    Sequencer::new(STREAMING, 0, Lsn(50), None)
}

/// Everything that comes of what the wire holds. The catalog knows of no key.
fn all(sequencer: &mut Sequencer, wire: &mut Wire) -> Vec<Output> {
    sequencer.feed(wire.run());
    let mut outputs = Vec::new();
    while let Some(output) = sequencer.next().expect("legal") {
        match output {
            Output::Undefined(definition) => {
                sequencer.define(definition.with_facts(&Facts::default()));
            }
            Output::End | Output::Again(_) => {
                outputs.push(output);
                break;
            }
            output => outputs.push(output),
        }
    }
    outputs
}

/// In words.
fn said(outputs: &[Output]) -> Vec<String> {
    let chunk = |frames: &StreamedFrames| {
        let words = |frame: &walgate_core::StreamedFrame| {
            format!(" {:?}/{}#{}", frame.kind, frame.sub, frame.relation)
        };
        frames.frames.iter().map(words).collect::<String>()
    };
    let words = |output: &Output| match output {
        Output::Streamed(Streamed::Chunk { xid, frames }) => {
            format!("chunk {xid}{}", chunk(frames))
        }
        Output::Streamed(Streamed::AbortSub { xid, sub, keep }) => {
            format!("cut {xid} {sub} {keep}")
        }
        Output::Streamed(Streamed::Abort { xid }) => format!("abort {xid}"),
        Output::Streamed(Streamed::Commit {
            transaction,
            end_lsn,
            frames,
            relations,
            ..
        }) => {
            let xid = transaction.xid;
            format!(
                "commit {xid} {} {} {frames} {}",
                transaction.commit_lsn.0,
                end_lsn.0,
                relations.len()
            )
        }
        Output::Frames(frames) => {
            let kinds: Vec<FrameKind> = frames.frames.iter().map(|frame| frame.kind).collect();
            format!("frames {kinds:?} {:?}", frames.progress.map(|lsn| lsn.0))
        }
        Output::Again(Again::Unstream(unstream)) => format!("unstream: {unstream}"),
        other => format!("{other:?}"),
    };
    outputs.iter().map(words).collect()
}

fn unstreams(outputs: &[Output]) -> Option<(Xid, Why)> {
    match outputs.last() {
        Some(Output::Again(Again::Unstream(unstream))) => {
            Some((unstream.xid, unstream.why.clone()))
        }
        _ => None,
    }
}

#[test]
fn rows_lose_their_prefix_and_have_no_position() {
    let mut wire = Wire::default();
    wire.start(9, true)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .by(10)
        .insert(1)
        .by(9)
        .logical(true, 60, "m")
        .stop()
        .stream_commit(9, 100);
    let mut sequencer = sequencer();
    let outputs = all(&mut sequencer, &mut wire);
    assert_eq!(
        said(&outputs),
        [
            "chunk 9 Insert/9#0 Insert/10#0 Message/9#0",
            "commit 9 100 105 3 1"
        ]
    );
    let Some(Output::Streamed(Streamed::Chunk { frames, .. })) = outputs.first() else {
        panic!("no chunk")
    };
    let mut plain = Wire::default();
    plain.insert(1);
    let run = plain.run();
    let (message, _) = message_at(&run.bytes, 0).expect("a message");
    assert_eq!(
        frames.message(&frames.frames[1]),
        &message.body[XLOG_DATA_HEADER..]
    );
    assert_eq!(sequencer.resume(), Lsn(105));
    assert!(!sequencer.has_streams());
}

#[test]
fn a_sub_transaction_takes_everything_from_its_first_frame_on() {
    let mut wire = Wire::default();
    wire.start(9, true)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .by(10)
        .insert(1)
        .by(11)
        .insert(1)
        .by(10)
        .insert(1)
        .stop()
        .abort(9, 11)
        .abort(9, 10)
        .start(9, false)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .stop()
        .stream_commit(9, 100);
    assert_eq!(
        said(&all(&mut sequencer(), &mut wire)),
        [
            "chunk 9 Insert/9#0 Insert/10#0 Insert/11#0 Insert/10#0",
            "cut 9 11 2",
            "cut 9 10 1",
            "chunk 9 Insert/9#0",
            "commit 9 100 105 2 1"
        ]
    );
}

#[test]
fn a_roll_back_that_takes_nothing_is_no_news() {
    let mut wire = Wire::default();
    // 12 had nothing that is published; a message in front of others is nobody's but theirs.
    wire.start(9, true)
        .logical(true, 60, "m")
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .stop()
        .abort(9, 12)
        .stream_commit(9, 100);
    assert_eq!(
        said(&all(&mut sequencer(), &mut wire)),
        ["chunk 9 Message/9#0 Insert/9#0", "commit 9 100 105 2 1"]
    );
}

#[test]
fn a_message_whose_writer_nobody_can_tell_ends_the_stream() {
    let whose = |sub| Some((9, Why::WhoseMessage { sub }));
    let mut wire = Wire::default();
    // Directly in front of the first frame, with a definition between them.
    wire.start(9, true)
        .logical(true, 60, "m")
        .by(10)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .stop()
        .abort(9, 10);
    assert_eq!(unstreams(&all(&mut sequencer(), &mut wire)), whose(10));
    // Of a sub-transaction that has no frame.
    wire.start(9, true)
        .logical(true, 60, "m")
        .stop()
        .abort(9, 10);
    assert_eq!(unstreams(&all(&mut sequencer(), &mut wire)), whose(10));
    // Behind the first frame it goes with it.
    wire.start(9, true)
        .by(10)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .by(9)
        .logical(true, 60, "m")
        .stop()
        .abort(9, 10)
        .abort(9, 11)
        .stream_commit(9, 100);
    assert_eq!(unstreams(&all(&mut sequencer(), &mut wire)), None);
    // Said again and again, until there is another connection; what is whole comes first.
    wire.begin(60)
        .commit(60)
        .start(9, true)
        .logical(true, 70, "m");
    wire.stop().abort(9, 10);
    let mut sequencer = sequencer();
    let outputs = all(&mut sequencer, &mut wire);
    assert_eq!(said(&outputs).len(), 3, "{outputs:?}");
    assert!(matches!(sequencer.next(), Ok(Some(Output::Again(_)))));
    assert!(sequencer.has_streams());
    assert_eq!(sequencer.resume(), Lsn(65));
}

#[test]
fn whole_transactions_between_blocks_keep_their_order() {
    let mut wire = Wire::default();
    wire.start(9, true)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .stop()
        .begin(60)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .commit(60)
        .logical(false, 70, "alone")
        .start(8, true)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .stop()
        .start(9, false)
        .insert(1)
        .stop()
        .start(9, false)
        .insert(1)
        .stop()
        .abort(8, 8)
        .stream_commit(9, 80)
        .begin(90)
        .insert(1)
        .commit(90);
    assert_eq!(
        said(&all(&mut sequencer(), &mut wire)),
        [
            "chunk 9 Insert/9#0",
            "frames [Begin, Insert, Commit, Standalone] None",
            "chunk 8 Insert/8#0",
            "chunk 9 Insert/9#0 Insert/9#0",
            "abort 8",
            "commit 9 80 85 3 1",
            "frames [Begin, Insert, Commit] None"
        ]
    );
}

#[test]
fn an_open_stream_is_not_in_flight_and_an_empty_one_is_progress() {
    let mut wire = Wire::default();
    wire.start(9, true)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .keepalive(60, false)
        .stop()
        .keepalive(70, true);
    let mut sequencer = sequencer();
    assert_eq!(
        said(&all(&mut sequencer, &mut wire)),
        ["chunk 9 Insert/9#0", "frames [] Some(70)"]
    );
    assert_eq!(
        (sequencer.resume(), sequencer.reached()),
        (Lsn(70), Lsn(70))
    );
    // Nothing is left of 9, and nothing was ever there of 8.
    wire.abort(9, 9).start(8, true).stop().stream_commit(8, 80);
    assert_eq!(
        said(&all(&mut sequencer, &mut wire)),
        ["abort 9", "frames [] Some(85)"]
    );
    wire.start(7, true)
        .by(10)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .stop()
        .abort(7, 10)
        .stream_commit(7, 90);
    assert_eq!(
        said(&all(&mut sequencer, &mut wire)),
        [
            "chunk 7 Insert/10#0",
            "cut 7 10 0",
            "abort 7",
            "frames [] Some(95)"
        ]
    );
    assert_eq!(sequencer.resume(), Lsn(95));
}

#[test]
fn the_catalog_is_asked_after_the_commit_and_before_it_goes_on() {
    let mut wire = Wire::default();
    wire.start(9, true)
        .relation(1, ReplicaIdentity::Full, ID)
        .insert(1)
        .stop()
        .keepalive(60, false)
        .stream_commit(9, 100)
        .begin(200)
        .insert(1)
        .commit(200);
    let mut sequencer = sequencer();
    sequencer.feed(wire.run());
    let mut before = Vec::new();
    let definition = loop {
        match sequencer.next().expect("legal").expect("more") {
            Output::Undefined(definition) => break definition,
            output => before.push(output),
        }
    };
    assert_eq!(said(&before), ["chunk 9 Insert/9#0", "frames [] Some(60)"]);
    assert_eq!(definition.xid(), Some(9));
    assert_eq!(sequencer.resume(), Lsn(60), "it is not handed on yet");
    assert!(sequencer.has_streams() && sequencer.in_transaction());
    let facts = Facts {
        primary_key: vec!["id".to_owned()],
        ..Facts::default()
    };
    sequencer.define(definition.with_facts(&facts));
    let Ok(Some(Output::Streamed(Streamed::Commit { relations, .. }))) = sequencer.next() else {
        panic!("no commit")
    };
    assert_eq!(relations[0].primary_key, [0]);
    let Ok(Some(Output::Frames(frames))) = sequencer.next() else {
        panic!("no frames")
    };
    assert!(
        Arc::ptr_eq(&frames.relations[0], &relations[0]),
        "from the commit on it counts for all"
    );
}

#[test]
fn definitions_are_the_transactions_own_and_overwrite_no_newer_one() {
    let mut wire = Wire::default();
    wire.begin(55)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .commit(55)
        .start(9, true)
        .relation(1, ReplicaIdentity::Default, TWO)
        .row(1, "1", 2)
        .stop()
        .begin(60)
        .insert(1)
        .commit(60)
        .stream_commit(9, 70)
        .begin(80)
        .row(1, "1", 2)
        .commit(80)
        .start(8, true)
        .relation(1, ReplicaIdentity::Default, TWO)
        .row(1, "1", 2)
        .stop()
        .begin(90)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .commit(90)
        .stream_commit(8, 100)
        .begin(110)
        .insert(1)
        .commit(110);
    let mut columns = Vec::new();
    for output in all(&mut sequencer(), &mut wire) {
        match output {
            Output::Frames(frames) => {
                columns.extend(
                    frames
                        .relations
                        .iter()
                        .map(|relation| relation.columns.len()),
                );
            }
            Output::Streamed(Streamed::Commit { relations, .. }) => {
                columns.push(10 + relations[0].columns.len());
            }
            _ => {}
        }
    }
    assert_eq!(columns, [1, 1, 12, 2, 1, 12, 1]);
}

#[test]
fn a_rolled_back_definition_is_none() {
    let mut wire = Wire::default();
    wire.start(9, true)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .by(10)
        .relation(1, ReplicaIdentity::Default, TWO)
        .row(1, "1", 2)
        .stop()
        .abort(9, 10)
        .start(9, false)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .stop()
        .stream_commit(9, 70)
        .begin(80)
        .insert(1)
        .commit(80);
    let outputs = all(&mut sequencer(), &mut wire);
    assert_eq!(
        said(&outputs),
        [
            "chunk 9 Insert/9#0 Insert/10#1",
            "cut 9 10 1",
            "chunk 9 Insert/9#0",
            "commit 9 70 75 2 2",
            "frames [Begin, Insert, Commit] None"
        ]
    );
    let Some(Output::Frames(frames)) = outputs.last() else {
        panic!("no frames")
    };
    assert_eq!(frames.relations[0].columns.len(), 1);
}

#[test]
fn what_is_too_large_is_named() {
    let limits = StreamLimits {
        each: 100,
        together: 150,
    };
    let many = |wire: &mut Wire, xid, rows| {
        wire.start(xid, true)
            .relation(1, ReplicaIdentity::Default, ID);
        for _ in 0..rows {
            wire.insert(1);
        }
        wire.stop();
    };
    let mut wire = Wire::default();
    // A row has 14 bytes.
    many(&mut wire, 9, 8);
    let outputs = all(&mut sequencer().with_limits(limits), &mut wire);
    assert_eq!(
        said(&outputs),
        ["unstream: transaction 9 has 112 bytes so far, more than max_transaction (100), in s.t"]
    );
    many(&mut wire, 8, 6);
    many(&mut wire, 9, 5);
    let outputs = all(&mut sequencer().with_limits(limits), &mut wire);
    assert_eq!(
        said(&outputs).last().map(String::as_str),
        Some(
            "unstream: the open transactions have 154 bytes so far, more than may be kept (150); \
             the longest is transaction 8, in s.t"
        )
    );
    // What was rolled back does not count.
    wire.start(9, true)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1);
    for sub in 10..50 {
        wire.by(sub).insert(1).insert(1).insert(1).insert(1);
        wire.stop().abort(9, sub).start(9, false);
    }
    wire.stop();
    let mut sequencer = sequencer().with_limits(limits);
    assert_eq!(unstreams(&all(&mut sequencer, &mut wire)), None);
    assert!(matches!(sequencer.next(), Ok(None)));
}

#[test]
fn what_is_kept_of_sub_transactions_is_bounded() {
    let mut wire = Wire::default();
    wire.start(9, true)
        .relation(1, ReplicaIdentity::Default, ID);
    for sub in 10..300_000 {
        wire.by(sub).insert(1);
    }
    let outputs = all(&mut sequencer(), &mut wire);
    assert_eq!(unstreams(&outputs), Some((9, Why::TooManyParts)));
}

#[test]
fn definitions_of_tables_that_are_gone_do_not_pile_up() {
    let mut wire = Wire::default();
    let mut sequencer = sequencer();
    sequencer.known = KnownRelations::default().bounded_by(1000);
    wire.begin(60).relation(1, ReplicaIdentity::Default, ID);
    wire.insert(1).commit(60);
    assert_eq!(said(&all(&mut sequencer, &mut wire)).len(), 1);
    let known = sequencer.take_known();
    let mut sequencer = Sequencer::new(STREAMING, 0, Lsn(65), None).with_known(known);
    for (lsn, oid) in (70..).step_by(10).zip(2..20) {
        wire.begin(lsn).relation(oid, ReplicaIdentity::Default, ID);
        wire.insert(oid).commit(lsn);
    }
    let outputs = all(&mut sequencer, &mut wire);
    assert!(matches!(outputs.last(), Some(Output::Again(Again::Forget))));
    assert!(
        sequencer.resume() > Lsn(75),
        "what only the connection before has announced goes first"
    );
    assert!(sequencer.relation(1).is_none());
    let next = sequencer.take_known();
    assert!(next.get(2).is_none(), "the next begins with nothing");
}

#[test]
fn it_stops_before_a_stream_commit_behind_the_position() {
    let stop = |lsn| {
        Some(StopAt {
            lsn: Lsn(lsn),
            log_goes_on: true,
        })
    };
    let mut wire = Wire::default();
    let mut blocks = |commit| {
        wire.start(9, true)
            .relation(1, ReplicaIdentity::Default, ID)
            .insert(1)
            .stop()
            .stream_commit(9, commit);
        std::mem::take(&mut wire)
    };
    let mut at = Sequencer::new(STREAMING, 0, Lsn(50), stop(100));
    assert_eq!(
        said(&all(&mut at, &mut blocks(100))),
        ["chunk 9 Insert/9#0", "commit 9 100 105 1 1", "End"]
    );
    let mut behind = Sequencer::new(STREAMING, 0, Lsn(50), stop(99));
    assert_eq!(
        said(&all(&mut behind, &mut blocks(100))),
        ["chunk 9 Insert/9#0", "frames [] Some(99)", "End"]
    );
}

#[test]
fn a_prepared_transaction_was_not_asked_for() {
    let mut wire = Wire::default();
    wire.start(9, true).stop().message(&Message::StreamPrepare {
        flags: 0,
        prepare_lsn: Lsn(60),
        end_lsn: Lsn(65),
        prepare_time: walgate_core::PgMicros(1),
        xid: 9,
        gid: "g",
    });
    let mut sequencer = sequencer();
    sequencer.feed(wire.run());
    let error = sequencer.next().expect_err("refused");
    assert!(error.to_string().contains("stream prepare"), "{error}");
}
