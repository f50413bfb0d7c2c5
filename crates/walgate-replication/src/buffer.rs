//! Bytes of the socket into runs of whole messages.

use bytes::{Bytes, BytesMut};

/// Tag and length of a message of the frontend/backend protocol.
pub(crate) const HEADER: usize = 5;
/// So much of a message is there before we judge its length: enough for the XLogData header and
/// the oid of a row's relation, so that the error can name them.
const JUDGED: usize = 64;

/// Whole messages, one behind the other, as they were read.
#[derive(Debug)]
pub(crate) struct Run {
    /// The messages, each with its tag and length.
    pub(crate) bytes: Bytes,
    /// Memory that is held while `bytes` lives.
    pub(crate) pinned: usize,
}

/// Why bytes can't be cut into messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FramingError {
    /// A length below 4 or negative: this is not the protocol.
    Length(i32),
    /// A message longer than the bound.
    TooLong {
        /// Its length with the header.
        len: usize,
        /// Its first bytes, without the header.
        head: Bytes,
    },
}

/// The one buffer that the socket is read into.
///
/// A buffer that is at least half full of whole messages is handed on as it is; less is copied
/// into memory of its exact size and the buffer goes on being used, so that a reader at the head
/// doesn't pin a megabyte for a row. A message longer than the buffer gets memory that doubles as
/// its bytes arrive: its length is only a claim.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    bytes: BytesMut,
    size: usize,
    max_message: usize,
    /// Up to here the buffer holds whole messages.
    whole: usize,
}

impl ReadBuffer {
    /// `size` is what a read may bring at most, `max_message` bounds one message.
    pub(crate) fn new(size: usize, max_message: usize) -> Self {
        Self {
            bytes: BytesMut::with_capacity(size),
            size,
            max_message,
            whole: 0,
        }
    }

    /// The buffer to read into; it has room. Call [`take`](Self::take) after each read.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        if self.bytes.len() == self.bytes.capacity() {
            // Only a message longer than the buffer gets here: everything whole was taken.
            self.bytes.reserve(self.bytes.len().max(self.size));
        }
        &mut self.bytes
    }

    /// Whether the last read has filled all the room.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() == self.bytes.capacity()
    }

    /// Takes all whole messages out. What is wrong behind them is said by the next call.
    pub(crate) fn take(&mut self) -> Result<Option<Run>, FramingError> {
        let measured = self.measure();
        let whole = std::mem::take(&mut self.whole);
        if whole == 0 {
            return measured.map(|()| None);
        }
        let capacity = self.bytes.capacity();
        if whole >= capacity / 2 {
            let run = self.bytes.split_to(whole);
            let mut next = BytesMut::with_capacity(self.size.max(self.bytes.len()));
            next.extend_from_slice(&self.bytes);
            self.bytes = next;
            return Ok(Some(Run {
                bytes: run.freeze(),
                pinned: capacity,
            }));
        }
        let head = self.bytes.get(..whole).unwrap_or_default();
        let bytes = Bytes::copy_from_slice(head);
        let left = self.bytes.len() - whole;
        self.bytes.copy_within(whole.., 0);
        self.bytes.truncate(left);
        Ok(Some(Run {
            bytes,
            pinned: whole,
        }))
    }

    /// Finds where the last whole message ends.
    fn measure(&mut self) -> Result<(), FramingError> {
        while let Some(header) = self
            .bytes
            .get(self.whole..)
            .and_then(<[u8]>::first_chunk::<HEADER>)
        {
            let len = message_len(*header)?;
            let there = self.bytes.len() - self.whole;
            if len > self.max_message && there >= len.min(JUDGED) {
                let head = self
                    .bytes
                    .get(self.whole + HEADER..self.whole + JUDGED.min(there));
                let head = Bytes::copy_from_slice(head.unwrap_or_default());
                return Err(FramingError::TooLong { len, head });
            }
            if len > there {
                break;
            }
            self.whole += len;
        }
        Ok(())
    }
}

/// The length of a message with its header.
fn message_len([_, a, b, c, d]: [u8; HEADER]) -> Result<usize, FramingError> {
    let claimed = i32::from_be_bytes([a, b, c, d]);
    match usize::try_from(claimed) {
        // The length counts itself.
        Ok(len) if len >= 4 => Ok(len + 1),
        _ => Err(FramingError::Length(claimed)),
    }
}

/// A message inside a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WireMessage<'a> {
    /// What it is.
    pub(crate) tag: u8,
    /// Where its body starts in the run.
    pub(crate) start: usize,
    /// The body.
    pub(crate) body: &'a [u8],
}

/// The message at `at` of a run and where the next one starts; none at the end of the run.
#[inline]
pub(crate) fn message_at(run: &[u8], at: usize) -> Option<(WireMessage<'_>, usize)> {
    let header = run.get(at..)?.first_chunk::<HEADER>()?;
    let end = at + message_len(*header).ok()?;
    let start = at + HEADER;
    Some((
        WireMessage {
            tag: header[0],
            start,
            body: run.get(start..end)?,
        },
        end,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(len: usize) -> Vec<u8> {
        let mut bytes = vec![b'd'];
        bytes.extend_from_slice(&u32::try_from(len + 4).expect("short").to_be_bytes());
        bytes.extend((0..len).map(|byte| byte as u8));
        bytes
    }

    fn read(buffer: &mut ReadBuffer, mut bytes: &[u8]) -> usize {
        let room = buffer.room();
        let len = bytes.len().min(room.capacity() - room.len());
        let (head, _) = bytes.split_at(len);
        room.extend_from_slice(head);
        bytes = head;
        bytes.len()
    }

    #[test]
    fn cuts_the_same_messages_whatever_the_reads_are() {
        let messages: Vec<Vec<u8>> = [0, 1, 7, 300, 3, 900, 12].map(message).to_vec();
        let stream = messages.concat();
        for step in 1..stream.len() {
            let mut buffer = ReadBuffer::new(128, 1 << 20);
            let (mut at, mut out) = (0, Vec::new());
            while at < stream.len() {
                at += read(&mut buffer, &stream[at..(at + step).min(stream.len())]);
                if let Some(run) = buffer.take().expect("well-formed") {
                    assert!(run.pinned >= run.bytes.len());
                    assert!(
                        run.pinned <= 2 * run.bytes.len(),
                        "{} {}",
                        run.pinned,
                        run.bytes.len()
                    );
                    let mut place = 0;
                    while let Some((message, next)) = message_at(&run.bytes, place) {
                        out.push(message.body.to_vec());
                        place = next;
                    }
                    assert_eq!(place, run.bytes.len());
                }
            }
            let bodies: Vec<Vec<u8>> = messages.iter().map(|m| m[HEADER..].to_vec()).collect();
            assert_eq!(out, bodies, "step {step}");
        }
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let mut buffer = ReadBuffer::new(1024, 1 << 30);
        let mut bytes = vec![b'd'];
        bytes.extend_from_slice(&(1_u32 << 29).to_be_bytes());
        bytes.extend_from_slice(&[0; 500]);
        read(&mut buffer, &bytes);
        assert!(buffer.take().expect("may come").is_none());
        assert!(buffer.room().capacity() <= 2048);
    }

    #[test]
    fn a_message_over_the_bound_is_refused_with_its_first_bytes() {
        let mut buffer = ReadBuffer::new(1024, 2000);
        read(&mut buffer, &message(2001)[..200]);
        match buffer.take() {
            Err(FramingError::TooLong { len, head }) => {
                assert_eq!(len, 2006);
                assert_eq!(&head[..4], [0, 1, 2, 3]);
                assert_eq!(head.len(), JUDGED - HEADER);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_whole_comes_before_what_is_wrong() {
        let mut buffer = ReadBuffer::new(1024, 100);
        read(
            &mut buffer,
            &[message(10), message(20), message(200)].concat(),
        );
        let run = buffer
            .take()
            .expect("whole messages first")
            .expect("two of them");
        assert_eq!(run.bytes.len(), 40);
        assert!(matches!(
            buffer.take(),
            Err(FramingError::TooLong { len: 205, .. })
        ));
    }

    #[test]
    fn lengths_that_are_none_are_refused() {
        for claimed in [0, 3, -1, i32::MIN] {
            let mut buffer = ReadBuffer::new(64, 1024);
            let mut bytes = vec![b'd'];
            bytes.extend_from_slice(&claimed.to_be_bytes());
            read(&mut buffer, &bytes);
            assert_eq!(buffer.take().err(), Some(FramingError::Length(claimed)));
        }
    }
}
