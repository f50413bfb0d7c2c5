use walgate_core::{Column, Position, ReplicaIdentity, Shape};
use walgate_pgoutput::{
    Message, OldTuple, PgMicros, ProtocolVersion, RelationOidsBuf, Streaming, TupleBuf, Value,
};

use super::wire::Wire;
use super::*;
use crate::definition::Facts;

const DIALECT: Dialect = Dialect {
    version: ProtocolVersion::V1,
    streaming: Streaming::Off,
};

const ID: &[(&str, Oid)] = &[("id", 23)];

fn sequencer(stop_at: Option<StopAt>) -> Sequencer {
    Sequencer::new(DIALECT, 0, Lsn(50), stop_at)
}

fn frames(sequencer: &mut Sequencer) -> Frames {
    match sequencer.next() {
        Ok(Some(Output::Frames(frames))) => frames,
        other => panic!("no frames: {other:?}"),
    }
}

fn kinds(frames: &Frames) -> Vec<(FrameKind, u32)> {
    frames
        .frames
        .iter()
        .map(|frame| (frame.kind, frame.index))
        .collect()
}

#[test]
fn indices_count_as_the_server_sends() {
    let mut wire = Wire::default();
    wire.begin(100)
        .relation(1, ReplicaIdentity::Default, ID)
        .relation(2, ReplicaIdentity::Default, ID)
        .insert(1);
    let oids: RelationOidsBuf = [1, 2].into_iter().collect();
    wire.message(&Message::Truncate {
        xid: None,
        cascade: false,
        restart_identity: false,
        relations: oids.as_relations(),
    });
    wire.message(&Message::Message {
        xid: None,
        transactional: true,
        lsn: Lsn(90),
        prefix: "p",
        content: b"",
    });
    wire.message(&Message::Origin {
        lsn: Lsn(1),
        name: "o",
    });
    let mut old = TupleBuf::new();
    old.push(Value::Text(b"1")).expect("fits");
    wire.message(&Message::Delete {
        xid: None,
        relation: 2,
        old: OldTuple::Key(old.as_tuple()),
    })
    .commit(100);
    wire.message(&Message::Message {
        xid: None,
        transactional: false,
        lsn: Lsn(200),
        prefix: "p",
        content: b"",
    });
    let mut sequencer = sequencer(None);
    sequencer.feed(wire.run());
    let frames = frames(&mut sequencer);
    assert_eq!(
        kinds(&frames),
        [
            (FrameKind::Begin, 1),
            (FrameKind::Insert, 2),
            (FrameKind::Truncate, 3),
            (FrameKind::Message, 5),
            (FrameKind::Delete, 6),
            (FrameKind::Commit, Position::COMMIT),
            (FrameKind::Standalone, 0),
        ]
    );
    let oid = |place: u16| frames.relations[usize::from(place)].oid;
    assert_eq!(
        frames
            .truncated
            .iter()
            .map(|place| oid(*place))
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(oid(frames.frames[4].relation), 2);
    assert_eq!((frames.open, frames.progress), (None, None));
    assert!(matches!(sequencer.next(), Ok(None)));
    assert_eq!(sequencer.resume(), Lsn(200));
}

#[test]
fn a_run_that_starts_inside_a_transaction_says_so_and_brings_its_definitions() {
    let mut wire = Wire::default();
    let mut sequencer = sequencer(None);
    sequencer.feed(
        wire.begin(100)
            .relation(1, ReplicaIdentity::Default, ID)
            .insert(1)
            .run(),
    );
    let first = frames(&mut sequencer);
    assert!(matches!(sequencer.next(), Ok(None)));
    assert_eq!(
        sequencer.resume(),
        Lsn(50),
        "a cut transaction is repeated as a whole"
    );
    sequencer.feed(wire.insert(1).commit(100).run());
    let second = frames(&mut sequencer);
    assert_eq!(
        second.open.map(|open| (open.xid, open.commit_lsn)),
        Some((700, Lsn(100)))
    );
    assert_eq!(
        kinds(&second),
        [
            (FrameKind::Insert, 3),
            (FrameKind::Commit, Position::COMMIT)
        ]
    );
    assert!(Arc::ptr_eq(&first.relations[0], &second.relations[0]));
    assert_eq!(sequencer.resume(), Lsn(105));
}

#[test]
fn keepalives_are_progress_only_when_nothing_is_in_flight() {
    let mut wire = Wire::default();
    let mut sequencer = sequencer(None);
    sequencer.feed(
        wire.keepalive(80, false)
            .begin(100)
            .keepalive(300, true)
            .run(),
    );
    let first = frames(&mut sequencer);
    assert_eq!((kinds(&first).len(), first.progress), (1, None));
    let heard = sequencer.heard();
    assert_eq!(
        (heard.received, heard.reply_requested),
        (Lsn(300), Some(Lsn(300)))
    );
    assert_eq!(sequencer.heard().reply_requested, None);
    assert_eq!(sequencer.resume(), Lsn(80));
    assert!(matches!(sequencer.next(), Ok(None)));
    sequencer.feed(wire.commit(100).keepalive(300, false).run());
    assert_eq!(frames(&mut sequencer).progress, Some(Lsn(300)));
    assert!(matches!(sequencer.next(), Ok(None)));
    sequencer.feed(wire.keepalive(300, false).run());
    assert!(
        matches!(sequencer.next(), Ok(None)),
        "the same again is no news"
    );
    sequencer.feed(wire.keepalive(301, false).run());
    let only = frames(&mut sequencer);
    assert!(only.frames.is_empty() && only.progress == Some(Lsn(301)) && only.pinned == 0);
}

#[test]
fn a_keepalive_at_the_end_of_a_transaction_is_progress_once() {
    let mut wire = Wire::default();
    let mut sequencer = sequencer(None);
    sequencer.feed(wire.begin(100).commit(100).run());
    assert_eq!(frames(&mut sequencer).progress, None);
    let end = sequencer.resume();
    assert!(end > Lsn(100));
    assert!(matches!(sequencer.next(), Ok(None)));
    sequencer.feed(wire.keepalive(end.0, false).run());
    assert_eq!(frames(&mut sequencer).progress, Some(end));
    sequencer.feed(wire.keepalive(end.0, false).run());
    assert!(matches!(sequencer.next(), Ok(None)), "that is no news");
}

#[test]
fn a_definition_without_facts_lets_nothing_behind_it_pass() {
    let mut wire = Wire::default();
    let mut sequencer = sequencer(None);
    wire.begin(100)
        .relation(1, ReplicaIdentity::Full, &[("a", 23), ("b", 99_999)]);
    let mut row = TupleBuf::new();
    row.push(Value::Text(b"1")).expect("fits");
    row.push(Value::Null).expect("fits");
    wire.message(&Message::Insert {
        xid: None,
        relation: 1,
        new: row.as_tuple(),
    })
    .commit(100);
    sequencer.feed(wire.run());
    assert_eq!(
        kinds(&frames(&mut sequencer)),
        [(FrameKind::Begin, 1)],
        "what is before it goes on"
    );
    let Ok(Some(Output::Undefined(definition))) = sequencer.next() else {
        panic!("facts are needed")
    };
    assert_eq!(
        (definition.xid(), definition.unknown_types()),
        (Some(700), &[99_999][..])
    );
    let shape = Shape::Array {
        element: walgate_core::Scalar::Text,
        delimiter: b',',
    };
    let facts = Facts {
        shapes: [(99_999, shape)].into(),
        primary_key: vec!["b".to_owned()],
    };
    sequencer.define(definition.with_facts(&facts));
    let rest = frames(&mut sequencer);
    assert_eq!(
        kinds(&rest),
        [
            (FrameKind::Insert, 2),
            (FrameKind::Commit, Position::COMMIT)
        ]
    );
    let relation = &rest.relations[0];
    assert_eq!(relation.primary_key, [1]);
    assert_eq!(
        relation
            .columns
            .iter()
            .map(|column: &Column| column.shape)
            .collect::<Vec<_>>()[1],
        shape
    );
}

#[test]
fn a_definition_that_comes_again_unchanged_stays_the_same_and_a_changed_one_does_not_mix() {
    let mut wire = Wire::default();
    let mut sequencer = sequencer(None);
    wire.begin(100)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1);
    sequencer.feed(
        wire.relation(1, ReplicaIdentity::Default, &[("other", 25)])
            .insert(1)
            .commit(100)
            .run(),
    );
    let frames = frames(&mut sequencer);
    assert_eq!(frames.relations.len(), 2);
    let names: Vec<&str> = frames.frames[1..4]
        .iter()
        .map(|frame| {
            frames.relation(frame).expect("known").columns[0]
                .name
                .as_str()
        })
        .collect();
    assert_eq!(names, ["id", "id", "other"]);
    let known = sequencer.take_known();
    let mut next = Sequencer::new(DIALECT, 0, Lsn(105), None).with_known(known);
    next.feed(
        wire.begin(200)
            .relation(1, ReplicaIdentity::Default, &[("other", 25)])
            .insert(1)
            .commit(200)
            .run(),
    );
    let again = next.next();
    let Ok(Some(Output::Frames(again))) = again else {
        panic!("no frames: {again:?}")
    };
    assert!(
        Arc::ptr_eq(&frames.relations[1], &again.relations[0]),
        "across connections"
    );
}

#[test]
fn a_row_of_a_relation_of_the_connection_before_is_refused() {
    let mut wire = Wire::default();
    let mut first = sequencer(None);
    first.feed(
        wire.begin(100)
            .relation(1, ReplicaIdentity::Default, ID)
            .insert(1)
            .run(),
    );
    frames(&mut first);
    let mut next = sequencer(None).with_known(first.take_known());
    next.feed(wire.begin(100).insert(1).run());
    assert_eq!(kinds(&frames(&mut next)), [(FrameKind::Begin, 1)]);
    assert!(matches!(next.next(), Err(SequenceError::Order(_))));
}

#[test]
fn it_stops_before_the_first_transaction_behind_the_position() {
    let at = |lsn| {
        Some(StopAt {
            lsn: Lsn(lsn),
            log_goes_on: true,
        })
    };
    let mut wire = Wire::default();
    let mut stream = || {
        wire.begin(100)
            .commit(100)
            .begin(200)
            .commit(200)
            .begin(300)
            .commit(300)
            .run()
    };
    // Exactly at a commit record: it is included; its end lies behind the position.
    for (stop, last, progress) in [
        (100, 100, None),
        (150, 100, Some(150)),
        (199, 100, Some(199)),
        (200, 200, None),
        (205, 200, Some(205)),
        (299, 200, Some(299)),
    ] {
        let mut sequencer = sequencer(at(stop));
        sequencer.feed(stream());
        let frames = frames(&mut sequencer);
        assert_eq!(
            frames.frames.len(),
            if last == 100 { 2 } else { 4 },
            "stop {stop}"
        );
        if let Some(progress) = progress {
            assert_eq!(
                frames
                    .progress
                    .map_or(0, |lsn| lsn.0)
                    .max(sequencer.resume().0),
                progress,
                "stop {stop}"
            );
        }
        assert!(matches!(sequencer.next(), Ok(Some(Output::End))));
        assert!(
            matches!(sequencer.next(), Ok(Some(Output::End))),
            "and stays there"
        );
    }
}

#[test]
fn a_keepalive_at_the_position_ends_it_only_where_the_log_ends() {
    let mut wire = Wire::default();
    let mut head = sequencer(Some(StopAt {
        lsn: Lsn(100),
        log_goes_on: false,
    }));
    head.feed(wire.keepalive(100, false).run());
    assert_eq!(frames(&mut head).progress, Some(Lsn(100)));
    assert!(matches!(head.next(), Ok(Some(Output::End))));
    let mut within = sequencer(Some(StopAt {
        lsn: Lsn(100),
        log_goes_on: true,
    }));
    within.feed(wire.keepalive(100, false).begin(100).commit(100).run());
    assert_eq!(
        kinds(&frames(&mut within)).len(),
        2,
        "the transaction that commits exactly there"
    );
    assert!(matches!(within.next(), Ok(Some(Output::End))));
}

#[test]
fn many_definitions_are_cut_into_several_runs() {
    let mut wire = Wire::default();
    wire.begin(100);
    for oid in 1..=10_000 {
        wire.relation(oid, ReplicaIdentity::Default, ID).insert(oid);
    }
    let mut sequencer = sequencer(None);
    sequencer.feed(wire.commit(100).run());
    let (mut rows, mut index) = (0, 2);
    while let Ok(Some(Output::Frames(frames))) = sequencer.next() {
        assert!(frames.relations.len() <= MAX_RELATIONS);
        for frame in frames
            .frames
            .iter()
            .filter(|frame| frame.kind == FrameKind::Insert)
        {
            rows += 1;
            assert_eq!(
                frames.relation(frame).map(|relation| relation.oid),
                Some(rows)
            );
            assert_eq!(frame.index, index);
            index += 1;
        }
    }
    assert_eq!(rows, 10_000);
}

#[test]
fn what_is_whole_goes_on_before_a_message_that_makes_no_sense() {
    let mut wire = Wire::default();
    let lsn = Lsn(7);
    wire.begin(100).commit(100).copy(CopyFrame::XLogData {
        wal_start: lsn,
        wal_end: lsn,
        server_time: PgMicros(0),
        payload: b"\x80",
    });
    let mut sequencer = sequencer(None);
    sequencer.feed(wire.run());
    let whole = sequencer.next();
    let Ok(Some(Output::Frames(whole))) = whole else {
        panic!("the next connection starts behind it, so it must be handed on: {whole:?}")
    };
    assert_eq!(kinds(&whole).len(), 2);
    for _ in 0..2 {
        assert!(matches!(sequencer.next(), Err(SequenceError::Decode(_))));
    }
    assert_eq!(sequencer.resume(), Lsn(105));
}

#[test]
fn the_position_to_stop_at_counts_as_received() {
    let mut wire = Wire::default();
    let mut sequencer = sequencer(Some(StopAt {
        lsn: Lsn(150),
        log_goes_on: true,
    }));
    // Its Begin is sent with the position where it began, which is below the one to stop at.
    sequencer.feed(wire.begin(200).run());
    assert_eq!(frames(&mut sequencer).progress, Some(Lsn(150)));
    assert!(
        sequencer.heard().received >= Lsn(150),
        "who confirms the progress must be believed"
    );
}

#[test]
fn a_transaction_that_was_cut_must_be_in_the_log_that_goes_on() {
    let mut wire = Wire::default();
    wire.begin(100)
        .relation(1, ReplicaIdentity::Default, ID)
        .insert(1);
    let mut sequencer = sequencer(None);
    assert_eq!(sequencer.reached(), Lsn(50));
    sequencer.feed(wire.run());
    while let Ok(Some(output)) = sequencer.next() {
        if let Output::Undefined(definition) = output {
            sequencer.define(definition.relation().clone());
        }
    }
    assert_eq!(
        (sequencer.resume(), sequencer.reached()),
        (Lsn(50), Lsn(101))
    );
}
