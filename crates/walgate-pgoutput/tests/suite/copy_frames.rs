//! The frames of copy-both mode.

use bytes::BytesMut;
use walgate_pgoutput::DecodeErrorKind::{Empty, Trailing, UnknownFlags, UnknownTag};
use walgate_pgoutput::{
    CopyFrame, KEEPALIVE_LEN, Lsn, MessageKind, PgMicros, STANDBY_STATUS_LEN, StandbyStatus,
    XLOG_DATA_HEADER, decode,
};

use crate::hex::{V1, hex};

const XLOG_DATA: &str = "'w' 000000000158ef78 000000000158ef78 0002e7f3a1b2c3d4";
const KEEPALIVE: &str = "'k' 000000000158ef78 0002e7f3a1b2c3d4 01";
const STATUS: &str = "'r' 0000000000000003 0000000000000002 0000000000000001 0002e7f3a1b2c3d4 00";

fn identity(bytes: &[u8]) -> CopyFrame<'_> {
    let frame = CopyFrame::decode(bytes).expect("a well-formed frame");
    let mut buf = BytesMut::new();
    frame.encode(&mut buf);
    assert_eq!(buf, bytes);
    frame
}

#[test]
fn xlog_data_keeps_its_payload() {
    let mut bytes = hex(XLOG_DATA);
    assert_eq!(bytes.len(), XLOG_DATA_HEADER);
    bytes.extend(b"payload");
    let CopyFrame::XLogData {
        wal_start,
        wal_end,
        server_time,
        payload,
    } = identity(&bytes)
    else {
        panic!("no xlogdata")
    };
    assert_eq!((wal_start, wal_end), (Lsn(0x158_ef78), Lsn(0x158_ef78)));
    assert_eq!(server_time, PgMicros(0x0002_e7f3_a1b2_c3d4));
    assert_eq!(payload, b"payload");
}

#[test]
fn xlog_data_without_payload_has_no_message() {
    let bytes = hex(XLOG_DATA);
    let CopyFrame::XLogData { payload, .. } = identity(&bytes) else {
        panic!("no xlogdata")
    };
    assert_eq!(
        decode(payload, V1, false).map_err(|error| error.kind),
        Err(Empty)
    );
}

#[test]
fn keepalives_ask_for_a_reply_or_not() {
    for (flag, expected) in [("00", false), ("01", true)] {
        let bytes = hex(&format!("'k' 0000000000000001 0000000000000002 {flag}"));
        assert_eq!(bytes.len(), KEEPALIVE_LEN);
        let (wal_end, server_time) = (Lsn(1), PgMicros(2));
        let frame = CopyFrame::Keepalive {
            wal_end,
            server_time,
            reply_requested: expected,
        };
        assert_eq!(identity(&bytes), frame);
    }
    let bytes = hex("'k' 0000000000000001 0000000000000002 02");
    let error = CopyFrame::decode(&bytes).expect_err("a flag of 2");
    assert_eq!(error.kind, UnknownFlags { flags: 2 });
}

#[test]
fn short_frames_are_refused() {
    for text in [XLOG_DATA, KEEPALIVE] {
        let bytes = hex(text);
        for len in 0..bytes.len() {
            let error = CopyFrame::decode(&bytes[..len]).expect_err("a cut frame");
            assert!(error.offset <= len, "{error}");
        }
    }
    let error = CopyFrame::decode(b"").expect_err("no frame");
    assert_eq!((error.kind, error.message), (Empty, MessageKind::CopyFrame));
}

#[test]
fn a_keepalive_with_more_bytes_is_refused() {
    let mut bytes = hex(KEEPALIVE);
    bytes.push(0);
    let error = CopyFrame::decode(&bytes).expect_err("a long keepalive");
    assert_eq!(
        (error.kind, error.message),
        (Trailing { left: 1 }, MessageKind::Keepalive)
    );
}

#[test]
fn other_tags_are_refused() {
    // ErrorResponse, NoticeResponse, ParameterStatus and CopyDone are messages beside CopyData,
    // for the session; inside CopyData nothing but these two comes from a server.
    for tag in (0..=255).filter(|tag| ![b'w', b'k'].contains(tag)) {
        let error = CopyFrame::decode(&[tag, 0, 0]).expect_err("an unknown frame");
        assert_eq!(error.kind, UnknownTag { tag });
    }
}

#[test]
fn wal_end_may_go_back() {
    // The frames of a transaction carry the positions of its changes, and those lie before the
    // commit of the transaction that was sent before it.
    identity(&hex(
        "'w' 0000000000000020 0000000000000020 0000000000000000",
    ));
    identity(&hex(
        "'w' 0000000000000010 0000000000000010 0000000000000000",
    ));
}

#[test]
fn standby_status_both_ways() {
    let bytes = hex(STATUS);
    assert_eq!(bytes.len(), STANDBY_STATUS_LEN);
    let status = StandbyStatus::decode(&bytes).expect("a well-formed status");
    assert_eq!(
        (status.written, status.flushed, status.applied),
        (Lsn(3), Lsn(2), Lsn(1))
    );
    assert!(!status.reply_requested);
    let mut buf = BytesMut::new();
    status.encode(&mut buf);
    assert_eq!(buf, bytes);
    for len in 0..bytes.len() {
        assert!(StandbyStatus::decode(&bytes[..len]).is_err());
    }
    let long = [&*bytes, &[0]].concat();
    let error = StandbyStatus::decode(&long).expect_err("a long status");
    assert_eq!(
        (error.kind, error.message),
        (Trailing { left: 1 }, MessageKind::StandbyStatus)
    );
    assert!(StandbyStatus::decode(&hex(KEEPALIVE)).is_err());
}
