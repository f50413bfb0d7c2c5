//! The forms that depend on what was asked for: stream messages, their prefix, the long abort.

use bytes::BytesMut;
use walgate_pgoutput::DecodeErrorKind::{NotInDialect, Trailing, Truncated, UnknownFlags};
use walgate_pgoutput::{
    Dialect, EncodeError, Lsn, Message, PgMicros, ProtocolVersion, Streaming, Tag, decode,
};

use crate::hex::{V2_ON, V4_ON, V4_PARALLEL, error, error_of, hex, identity};

const LONG_ABORT: &str = "'A' 00000303 00000304 0000000000000010 0000000000000020";
const SHORT_ABORT: &str = "'A' 00000303 00000304";

#[test]
fn the_mode_decides_whether_stream_messages_exist() {
    use ProtocolVersion::{V1, V2, V3, V4};
    for version in [V1, V2, V3, V4] {
        for streaming in [Streaming::Off, Streaming::On, Streaming::Parallel] {
            let dialect = Dialect { version, streaming };
            let exists = version > V1 && streaming != Streaming::Off;
            assert_eq!(decode(b"E", dialect, false).is_ok(), exists, "{dialect:?}");
            let encoded = Message::StreamStop.encode(dialect, &mut BytesMut::new());
            assert_eq!(encoded.is_ok(), exists, "{dialect:?}");
        }
    }
    let off = Dialect {
        version: V4,
        streaming: Streaming::Off,
    };
    assert_eq!(error(off, "'S' 00000303 01").kind, NotInDialect);
}

#[test]
fn the_short_abort_under_version_4_with_streaming_on_is_legal() {
    let bytes = hex(SHORT_ABORT);
    let expected = Message::StreamAbort {
        xid: 0x303,
        subxid: 0x304,
        abort: None,
    };
    assert_eq!(identity(&bytes, V4_ON, false), expected);
    assert_eq!(identity(&bytes, V2_ON, false), expected);
}

#[test]
fn the_long_abort_comes_with_streaming_parallel() {
    let bytes = hex(LONG_ABORT);
    let abort = Some((Lsn(0x10), PgMicros(0x20)));
    let expected = Message::StreamAbort {
        xid: 0x303,
        subxid: 0x304,
        abort,
    };
    assert_eq!(identity(&bytes, V4_PARALLEL, false), expected);
}

#[test]
fn the_other_form_of_abort_is_refused() {
    for dialect in [V2_ON, V4_ON] {
        assert_eq!(error(dialect, LONG_ABORT).kind, Trailing { left: 16 });
    }
    assert_eq!(
        error(V4_PARALLEL, SHORT_ABORT).kind,
        Truncated { needed: 8, left: 0 }
    );
    let short = Message::StreamAbort {
        xid: 1,
        subxid: 1,
        abort: None,
    };
    let mut buf = BytesMut::from(&b"kept"[..]);
    let refused = Err(EncodeError::NotInDialect {
        tag: Tag::StreamAbort,
    });
    assert_eq!(short.encode(V4_PARALLEL, &mut buf), refused);
    assert_eq!(buf, "kept");
}

// A Relation is not among these: four of its name's bytes can pass for an oid. Only the place in
// the order of messages tells.
#[test]
fn rows_without_the_prefix_in_a_stream_are_refused() {
    for row in [
        "'I' 00004005 'N' 0001 't' 00000001 '1'",
        "'U' 00004005 'N' 0001 't' 00000001 '1'",
        "'D' 00004005 'K' 0001 't' 00000001 '1'",
        "'T' 00000001 00 00004005",
    ] {
        error_of(V2_ON, true, &hex(row));
    }
}

#[test]
fn rows_with_the_prefix_outside_a_stream_are_refused() {
    error_of(
        V2_ON,
        false,
        &hex("'I' 00000303 00004005 'N' 0001 't' 00000001 '1'"),
    );
}

#[test]
fn a_segment_flag_that_is_neither_0_nor_1_is_refused() {
    let error = error(V2_ON, "'S' 00000303 02");
    assert_eq!(
        (error.field, error.kind),
        ("first segment", UnknownFlags { flags: 2 })
    );
}

#[test]
fn stream_commit_and_prepare_with_flags_are_refused() {
    let body = "0000000000000001 0000000000000002 0000000000000000";
    let flags = UnknownFlags { flags: 1 };
    assert_eq!(error(V2_ON, &format!("'c' 00000303 01 {body}")).kind, flags);
    assert_eq!(
        error(V2_ON, &format!("'p' 01 {body} 00000303 00")).kind,
        flags
    );
}
