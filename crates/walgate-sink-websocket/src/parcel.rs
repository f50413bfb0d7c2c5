//! What the encoder hands to the sink for one change: its forms, and who gets which.
//!
//! It travels as the value of a record, so that the chain's own rules (bounds of a batch, going back
//! after an error) hold for it. Nothing else reads it.

use bytes::{Buf, BufMut, BytesMut};
use walgate_core::{Lsn, Position};

/// Epoch, LSN, index, and how many get it.
const HEAD_BYTES: usize = 1 + 8 + 4 + 4;

/// A number of an interest.
pub(crate) type InterestId = u32;

/// Appends a form of an event and those who get it. `write` writes the event.
pub(crate) fn put_part<E>(
    position: Position,
    interests: &[InterestId],
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.put_u8(position.epoch());
    out.put_u64(position.lsn().0);
    out.put_u32(position.index());
    out.put_u32(u32::try_from(interests.len()).unwrap_or(u32::MAX));
    for interest in interests {
        out.put_u32(*interest);
    }
    let len_at = out.len();
    out.put_u32(0);
    if let Err(error) = write(out) {
        out.truncate(start);
        return Err(error);
    }
    // The encoder ends an event with a line feed.
    if out.last() == Some(&b'\n') {
        out.truncate(out.len() - 1);
    }
    let len = u32::try_from(out.len() - len_at - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(len_at..len_at + 4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
    Ok(())
}

/// A form of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) position: Position,
    pub(crate) event: &'a [u8],
    /// Big-endian numbers of interests.
    interests: &'a [u8],
}

impl<'a> Part<'a> {
    /// Who gets it.
    pub(crate) fn interests(self) -> impl Iterator<Item = InterestId> + 'a {
        self.interests.chunks_exact(4).map(|mut id| id.get_u32())
    }
}

/// The parts of a record's value.
pub(crate) fn parts(mut value: &[u8]) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        if value.remaining() < HEAD_BYTES {
            return None;
        }
        let epoch = value.get_u8();
        let lsn = Lsn(value.get_u64());
        let index = value.get_u32();
        let count = usize::try_from(value.get_u32()).ok()?;
        let (interests, rest) = value.split_at_checked(count.checked_mul(4)?)?;
        let (len, rest) = rest.split_at_checked(4)?;
        let len = usize::try_from(u32::from_be_bytes(len.try_into().ok()?)).ok()?;
        let (event, rest) = rest.split_at_checked(len)?;
        value = rest;
        Some(Part {
            position: Position::new(epoch, lsn, index),
            event,
            interests,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_as_they_were_put() {
        let mut out = BytesMut::from(&b"what is before"[..]);
        let start = out.len();
        let at = |index| Position::new(2, Lsn(77), index);
        let put = |out: &mut BytesMut, index, ids: &[u32], text: &'static [u8]| {
            put_part(at(index), ids, out, |out| {
                out.put_slice(text);
                Ok::<(), ()>(())
            })
        };
        put(&mut out, 1, &[], b"begin\n").expect("written");
        put(&mut out, 2, &[7, 1], b"{}").expect("written");
        let refused = put_part(at(3), &[9], &mut out, |out| {
            out.put_slice(b"half");
            Err("no")
        });
        assert_eq!(refused, Err("no"));
        let found: Vec<_> = parts(&out[start..])
            .map(|part| {
                (
                    part.position,
                    part.event,
                    part.interests().collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(
            found,
            vec![
                (at(1), &b"begin"[..], vec![]),
                (at(2), &b"{}"[..], vec![7, 1])
            ]
        );
        for cut in start..out.len() {
            assert!(parts(&out[start..cut]).count() < 2, "half a part is none");
        }
    }
}
