//! One well-formed message of each kind and form, for tests that damage it.

use walgate_pgoutput::{Dialect, Tag};

use crate::hex::{V1, V2_ON, V4_ON, V4_PARALLEL, error_of, hex, identity};

pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) dialect: Dialect,
    pub(crate) in_stream: bool,
    pub(crate) bytes: Vec<u8>,
}

/// `LSN`, `END` and `TIME` in the samples below stand for these.
const PLACEHOLDERS: [(&str, &str); 3] = [
    ("LSN", "000000000158ef78"),
    ("END", "000000000158efb0"),
    ("TIME", "0002e7f3a1b2c3d4"),
];

/// Outside of stream blocks, without streaming.
const PLAIN: [(&str, &str); 17] = [
    ("begin", "'B' LSN TIME 00000303"),
    ("commit", "'C' 00 LSN END TIME"),
    ("origin", "'O' LSN 'elsewhere' 00"),
    (
        "relation",
        "'R' 00004005 'public' 00 'orders' 00 'd' 0002 \
         01 'id' 00 00000017 ffffffff 00 'amount' 00 000006a4 000a0006",
    ),
    ("type", "'Y' 00004010 'public' 00 'mood' 00"),
    (
        "insert",
        "'I' 00004005 'N' 0004 'n' 'u' 't' 00000002 '42' 'b' 00000001 00",
    ),
    ("update", "'U' 00004005 'N' 0001 't' 00000001 '1'"),
    (
        "update with key",
        "'U' 00004005 'K' 0001 't' 00000001 '1' 'N' 0001 'n'",
    ),
    (
        "update with old row",
        "'U' 00004005 'O' 0001 't' 00000000 'N' 0001 'u'",
    ),
    (
        "delete by key",
        "'D' 00004005 'K' 0002 't' 00000001 '1' 'n'",
    ),
    (
        "delete of old row",
        "'D' 00004005 'O' 0001 't' 00000001 '1'",
    ),
    ("truncate", "'T' 00000002 03 00004005 ffffffff"),
    ("message", "'M' 01 LSN 'prefix' 00 00000003 00ff80"),
    ("begin prepare", "'b' LSN END TIME 00000303 'gid' 00"),
    ("prepare", "'P' 00 LSN END TIME 00000303 'gid' 00"),
    ("commit prepared", "'K' 00 LSN END TIME 00000303 'gid' 00"),
    (
        "rollback prepared",
        "'r' 00 LSN END TIME TIME 00000303 'gid' 00",
    ),
];

/// The messages that streaming brings.
const STREAM: [(&str, Dialect, &str); 6] = [
    ("stream start", V2_ON, "'S' 00000303 01"),
    ("stream stop", V2_ON, "'E'"),
    ("stream commit", V2_ON, "'c' 00000303 00 LSN END TIME"),
    ("short stream abort", V4_ON, "'A' 00000303 00000304"),
    (
        "long stream abort",
        V4_PARALLEL,
        "'A' 00000303 00000304 LSN TIME",
    ),
    (
        "stream prepare",
        V2_ON,
        "'p' 00 LSN END TIME 00000303 'gid' 00",
    ),
];

/// Inside a stream block, with the transaction that they belong to.
const PREFIXED: [(&str, &str); 7] = [
    (
        "relation in a stream",
        "'R' 00000303 00004005 00 'orders' 00 'f' 0000",
    ),
    (
        "type in a stream",
        "'Y' 00000303 00004010 'public' 00 'mood' 00",
    ),
    (
        "insert in a stream",
        "'I' 00000303 00004005 'N' 0001 't' 00000001 '1'",
    ),
    (
        "update in a stream",
        "'U' 00000303 00004005 'K' 0001 'n' 'N' 0001 'n'",
    ),
    (
        "delete in a stream",
        "'D' 00000303 00004005 'O' 0001 't' 00000001 '1'",
    ),
    ("truncate in a stream", "'T' 00000303 00000001 00 00004005"),
    ("message in a stream", "'M' 00000303 01 LSN 00 00000000"),
];

pub(crate) fn samples() -> Vec<Sample> {
    let sample = |name, dialect, in_stream, text: &str| {
        let text = PLACEHOLDERS
            .iter()
            .fold(text.to_owned(), |text, (name, digits)| {
                text.replace(name, digits)
            });
        Sample {
            name,
            dialect,
            in_stream,
            bytes: hex(&text),
        }
    };
    let plain = PLAIN
        .iter()
        .map(|(name, text)| sample(name, V1, false, text));
    let stream = STREAM
        .iter()
        .map(|(name, dialect, text)| sample(name, *dialect, false, text));
    let prefixed = PREFIXED
        .iter()
        .map(|(name, text)| sample(name, V2_ON, true, text));
    plain.chain(stream).chain(prefixed).collect()
}

#[test]
fn every_sample_encodes_back_to_itself() {
    for sample in samples() {
        let message = identity(&sample.bytes, sample.dialect, sample.in_stream);
        assert_eq!(
            Some(message.tag()),
            walgate_pgoutput::tag(&sample.bytes),
            "{}",
            sample.name
        );
        assert_eq!(
            message.stream_xid().is_some(),
            sample.in_stream,
            "{}",
            sample.name
        );
    }
}

#[test]
fn there_is_a_sample_of_every_message() {
    let samples = samples();
    for &tag in Tag::ALL {
        let found = samples
            .iter()
            .any(|sample| sample.bytes.first() == Some(&tag.byte()));
        assert!(found, "no sample of {tag}");
        assert_eq!(Tag::from_byte(tag.byte()), Some(tag));
    }
}

#[test]
fn a_message_cut_after_any_byte_is_refused() {
    for sample in samples() {
        for len in 0..sample.bytes.len() {
            let cut = &sample.bytes[..len];
            let error = error_of(sample.dialect, sample.in_stream, cut);
            assert!(error.offset <= len, "{} cut to {len}: {error}", sample.name);
        }
    }
}

#[test]
fn a_byte_behind_the_end_is_refused() {
    for sample in samples() {
        let len = sample.bytes.len();
        let mut bytes = sample.bytes;
        bytes.push(0);
        let error = error_of(sample.dialect, sample.in_stream, &bytes);
        assert_eq!((error.field, error.offset), ("end", len), "{}", sample.name);
    }
}

#[test]
fn peeking_finds_the_relation_of_rows_and_nothing_else() {
    for sample in samples() {
        let peeked = walgate_pgoutput::peek_relation(&sample.bytes, sample.in_stream);
        let is_row = matches!(sample.bytes.first(), Some(b'I' | b'U' | b'D'));
        assert_eq!(peeked.ok(), is_row.then_some(0x4005), "{}", sample.name);
    }
    assert!(walgate_pgoutput::peek_relation(b"", false).is_err());
    assert!(walgate_pgoutput::peek_relation(b"I\0\0\x40", false).is_err());
    assert!(walgate_pgoutput::peek_relation(b"I\0\0\x40\x05", true).is_err());
}
