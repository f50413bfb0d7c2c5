//! A look at a message without decoding it, for those who only sequence frames.

use crate::Oid;
use crate::error::{DecodeError, DecodeErrorKind, MessageKind};
use crate::reader::Reader;
use crate::tag::Tag;

/// What a message is, or `None` when it is empty or its tag is unknown.
#[inline]
#[must_use]
pub fn tag(bytes: &[u8]) -> Option<Tag> {
    bytes.first().copied().and_then(Tag::from_byte)
}

/// The relation of an insert, update or delete. The tuples are not looked at: what this accepts
/// may still not decode.
///
/// `in_stream` says whether a Stream Start is open, as for [`crate::decode`].
///
/// # Errors
/// When it is another message, or is cut before the relation's end.
#[inline]
pub fn peek_relation(bytes: &[u8], in_stream: bool) -> Result<Oid, DecodeError> {
    let mut reader = Reader::new(bytes, MessageKind::Unknown);
    let byte = reader.u8("tag")?;
    let Some(tag) = Tag::from_byte(byte) else {
        return Err(reader.error_at(0, "tag", DecodeErrorKind::UnknownTag { tag: byte }));
    };
    reader.set_message(MessageKind::Message(tag));
    if !tag.is_row() {
        return Err(reader.error_at(0, "tag", DecodeErrorKind::NotARow));
    }
    if in_stream {
        reader.u32("xid")?;
    }
    reader.u32("relation")
}
