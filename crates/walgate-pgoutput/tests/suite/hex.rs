//! Messages as grouped hex, and the short forms that the tests use.

use bytes::BytesMut;
use walgate_pgoutput::{
    DecodeError, DecodeErrorKind, Dialect, Message, ProtocolVersion, Streaming, decode,
};

pub(crate) const V1: Dialect = Dialect {
    version: ProtocolVersion::V1,
    streaming: Streaming::Off,
};
pub(crate) const V2_ON: Dialect = Dialect {
    version: ProtocolVersion::V2,
    streaming: Streaming::On,
};
pub(crate) const V4_ON: Dialect = Dialect {
    version: ProtocolVersion::V4,
    streaming: Streaming::On,
};
pub(crate) const V4_PARALLEL: Dialect = Dialect {
    version: ProtocolVersion::V4,
    streaming: Streaming::Parallel,
};

/// Bytes of hexadecimal digits in groups; `'text'` stands for its bytes.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, part) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            bytes.extend_from_slice(part.as_bytes());
            continue;
        }
        let digits: Vec<u8> = part
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        for pair in digits.chunks(2) {
            let pair = std::str::from_utf8(pair).expect("ascii digits");
            bytes.push(u8::from_str_radix(pair, 16).expect("two hexadecimal digits"));
        }
    }
    bytes
}

/// What was wrong with bytes outside a stream block.
pub(crate) fn error(dialect: Dialect, text: &str) -> DecodeError {
    error_of(dialect, false, &hex(text))
}

pub(crate) fn error_of(dialect: Dialect, in_stream: bool, bytes: &[u8]) -> DecodeError {
    match decode(bytes, dialect, in_stream) {
        Ok(message) => panic!("{bytes:02x?} decoded as {message:?}"),
        Err(error) => error,
    }
}

/// Field, offset and reason of what was wrong, to compare in one line.
pub(crate) fn fault(text: &str) -> (&'static str, usize, DecodeErrorKind) {
    let error = error(V1, text);
    (error.field, error.offset, error.kind)
}

/// Decodes, and insists that encoding gives the same bytes.
pub(crate) fn identity(bytes: &[u8], dialect: Dialect, in_stream: bool) -> Message<'_> {
    let message = decode(bytes, dialect, in_stream)
        .unwrap_or_else(|error| panic!("{bytes:02x?} did not decode: {error}"));
    assert_eq!(
        encode(&message, dialect),
        bytes,
        "{message:?} encodes to other bytes"
    );
    message
}

pub(crate) fn encode(message: &Message<'_>, dialect: Dialect) -> Vec<u8> {
    let mut buf = BytesMut::new();
    message
        .encode(dialect, &mut buf)
        .expect("a message that was decoded");
    buf.to_vec()
}
