//! What is taken of a topic: every event once, in order, in whole transactions.

use walgate_core::{Gap, GapReason, Lsn, Position};
use walgate_format::Int8;
use walgate_source_kafka::{DecodeError, EventDecoder, Taken};

use crate::log::{brief, commit, decoder, event, insert, schema};

fn take(decoder: &mut EventDecoder, event: &[u8]) -> Taken {
    decoder.take(event).expect("an event")
}

#[test]
fn what_a_crash_has_repeated_is_dropped_and_the_cut_transaction_goes_on() {
    let mut decoder = decoder();
    take(&mut decoder, &schema());
    // Killed in the middle of the second transaction.
    for event in [
        insert(0x100, 2, 1),
        commit(0x100),
        insert(0x200, 2, 2),
        insert(0x200, 3, 3),
    ] {
        assert_eq!(take(&mut decoder, &event), Taken::Yes);
    }
    let first = decoder.frames().expect("a run");
    take(&mut decoder, &schema());
    for event in [
        insert(0x100, 2, 1),
        commit(0x100),
        insert(0x200, 2, 2),
        insert(0x200, 3, 3),
    ] {
        assert_eq!(take(&mut decoder, &event), Taken::Passed);
    }
    assert!(decoder.frames().is_none());
    for event in [insert(0x200, 5, 4), commit(0x200)] {
        assert_eq!(take(&mut decoder, &event), Taken::Yes);
    }
    let second = decoder.frames().expect("a run");
    let expected = ["begin 0/100 1", "insert 0/100 2", "commit 0/100 ffffffff"];
    assert_eq!(brief(&first)[..3], expected);
    assert_eq!(
        brief(&first)[3..],
        ["begin 0/200 1", "insert 0/200 2", "insert 0/200 3"]
    );
    assert_eq!(brief(&second), ["insert 0/200 5", "commit 0/200 ffffffff"]);
    assert_eq!(second.open.map(|open| open.commit_lsn), Some(Lsn(0x200)));
    assert_eq!(
        second.last(),
        Some(Position::new(0, Lsn(0x200), Position::COMMIT))
    );
    assert!(std::sync::Arc::ptr_eq(
        &first.relations[0],
        &second.relations[0]
    ));
}

#[test]
fn a_transaction_without_its_end_ends_where_the_next_begins() {
    let mut decoder = decoder();
    take(&mut decoder, &schema());
    take(&mut decoder, &insert(0x100, 2, 1));
    take(&mut decoder, &insert(0x200, 2, 2));
    let run = decoder.frames().expect("a run");
    let expected = [
        "begin 0/100 1",
        "insert 0/100 2",
        "commit 0/100 ffffffff",
        "begin 0/200 1",
        "insert 0/200 2",
    ];
    assert_eq!(brief(&run), expected);
}

#[test]
fn a_gap_passes_on_once() {
    let gap = Gap {
        from: Lsn(0x100),
        to: Lsn(0x900),
        reason: GapReason::SlotAhead,
    };
    let event = event(Int8::Number, 0, None, walgate_core::Body::Gap(&gap));
    let mut decoder = decoder();
    assert_eq!(take(&mut decoder, &event), Taken::Gap(gap));
    assert_eq!(take(&mut decoder, &event), Taken::Passed);
    assert_eq!(decoder.highest(), Position::new(0, Lsn(0x900), 0));
}

#[test]
fn a_transaction_whose_definition_is_gone_is_a_gap_and_what_follows_is_whole() {
    let mut decoder = decoder();
    let lost = insert(0x100, 2, 1);
    assert!(matches!(
        decoder.take(&lost),
        Err(DecodeError::Undefined { .. })
    ));
    let gap = decoder.give_up(&lost).expect("a gap");
    assert_eq!((gap.from, gap.to), (Lsn(0), Lsn(0x101)));
    for event in [insert(0x100, 3, 2), commit(0x100)] {
        assert_eq!(take(&mut decoder, &event), Taken::Passed);
    }
    take(&mut decoder, &schema());
    take(&mut decoder, &insert(0x200, 2, 3));
    let run = decoder.frames().expect("a run");
    assert_eq!(brief(&run), ["begin 0/200 1", "insert 0/200 2"]);
}

#[test]
fn what_is_not_known_is_passed_over_and_what_makes_no_sense_is_not() {
    let mut decoder = decoder();
    take(&mut decoder, &schema());
    for event in [
        &br#"{"id":"0000000000000900-00000002","op":"rename","new":{"a":1}}"#[..],
        br#"{"op":"read","schema":"public","table":"t","after":{"id":1}}"#,
    ] {
        assert_eq!(take(&mut decoder, event), Taken::Passed);
    }
    let damaged: [&[u8]; 8] = [
        b"",
        b"\xff",
        b"[]",
        br#"{"id":"x","op":"insert"}"#,
        br#"{"op":"insert"}"#,
        br#"{"id":"0000000000000900-00000002","op":"insert","schema":"public","table":"u","after":{},"lsn":"0/900","xid":1,"time":"2026-11-21T09:30:00.123456Z"}"#,
        br#"{"id":"0000000000000900-00000002","op":"insert","schema":"public","table":"t","after":{"id":"x"},"lsn":"0/900","xid":1,"time":"2026-11-21T09:30:00.123456Z"}"#,
        br#"{"id":"0000000000000900-00000002","op":"insert","schema":"public","table":"t","after":{"id":1},"lsn":"0/901","xid":1,"time":"2026-11-21T09:30:00.123456Z"}"#,
    ];
    for event in damaged {
        let refused = decoder.take(event);
        assert!(refused.is_err(), "{}", String::from_utf8_lossy(event));
        assert!(decoder.frames().is_none(), "nothing of it is there");
    }
    let mut later = insert(0x100, 2, 1).to_vec();
    later[7] = b'1';
    let raised = DecodeError::Epoch { from: 0, to: 0x10 };
    assert_eq!(decoder.take(&later), Err(raised));
}

#[test]
fn any_cut_of_an_event_is_refused_and_leaves_nothing_behind() {
    let whole = insert(0x100, 2, 1);
    for end in 0..whole.len() {
        let mut decoder = decoder();
        take(&mut decoder, &schema());
        assert!(decoder.take(&whole[..end]).is_err());
        assert!(decoder.frames().is_none());
    }
}
