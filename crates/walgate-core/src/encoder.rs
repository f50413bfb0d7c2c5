//! The encoder: a change into bytes.

use bytes::BytesMut;

use crate::{Change, Span};

/// Where the parts of an encoded event lie in the output buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Encoded {
    /// The event.
    pub value: Span,
    /// The key object; it may lie inside the value.
    pub key: Option<Span>,
    /// The old key object, when the key has changed.
    pub old_key: Option<Span>,
}

/// Turns changes into bytes. One encoder belongs to one chain, so it may keep what it derives from
/// a table under [`Table::id`](crate::Table::id).
pub trait Encoder: Send {
    /// Appends the event to `out`.
    ///
    /// # Errors
    ///
    /// When the change can never be encoded, for example because a text is not UTF-8. `out` is
    /// then as long as it was before.
    fn encode(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<Encoded, EncodeError>;
}

impl<E: Encoder + ?Sized> Encoder for Box<E> {
    fn encode(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<Encoded, EncodeError> {
        (**self).encode(change, out)
    }
}

/// A change that can never be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EncodeError {
    /// What is wrong, naming the column.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}
