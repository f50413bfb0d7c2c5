//! What the events of one transaction share, formatted once: the id's first part, and
//! `lsn`, `xid`, `time`.

use bytes::{BufMut, BytesMut};
use walgate_core::{Lsn, Position, Transaction};

use crate::commit_time::write_time;

/// Length of the id's part that all events of a transaction share: 16 digits and the dash.
const SHARED: usize = 17;

/// Formatted pieces of the transaction at hand.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    /// What `head` was made for.
    log: Option<(u8, Lsn)>,
    /// `{"id":"00000000014a2f60-`
    head: BytesMut,
    /// What `tail` was made for.
    transaction: Option<Transaction>,
    /// `,"lsn":"0/14A2F60","xid":771,"time":"…"}` and a line feed.
    tail: BytesMut,
}

impl Stamp {
    /// Appends `{"id":"…` without the closing quote.
    #[inline]
    pub(super) fn put_id(&mut self, position: Position, out: &mut BytesMut) {
        let log = (position.epoch(), position.lsn());
        if self.log != Some(log) {
            self.head.clear();
            self.head.put_slice(b"{\"id\":\"");
            self.head
                .put_slice(position.to_ascii().get(..SHARED).unwrap_or_default());
            self.log = Some(log);
        }
        out.put_slice(&self.head);
        out.put_slice(&hex(position.index()));
    }

    /// Appends `,"lsn":…,"xid":…,"time":…`, the closing brace and the line feed.
    #[inline]
    pub(super) fn put_tail(&mut self, transaction: Option<&Transaction>, out: &mut BytesMut) {
        match transaction {
            Some(transaction) => out.put_slice(self.tail_of(transaction)),
            None => out.put_slice(b"}\n"),
        }
    }

    /// Appends `,"lsn":…,"xid":…,"time":…`.
    pub(super) fn put_transaction(
        &mut self,
        transaction: Option<&Transaction>,
        out: &mut BytesMut,
    ) {
        let Some(transaction) = transaction else {
            return;
        };
        out.put_slice(
            self.tail_of(transaction)
                .strip_suffix(b"}\n")
                .unwrap_or_default(),
        );
    }

    #[inline]
    fn tail_of(&mut self, transaction: &Transaction) -> &[u8] {
        if self.transaction.as_ref() != Some(transaction) {
            self.tail.clear();
            put_lsn(b",\"lsn\":\"", transaction.commit_lsn, &mut self.tail);
            self.tail.put_slice(b",\"xid\":");
            self.tail.put_slice(transaction.xid.to_string().as_bytes());
            self.tail.put_slice(b",\"time\":\"");
            write_time(transaction.commit_time, &mut self.tail);
            self.tail.put_slice(b"\"}\n");
            self.transaction = Some(*transaction);
        }
        &self.tail
    }
}

/// Appends `lead`, the LSN as PostgreSQL prints it, and a quote.
pub(super) fn put_lsn(lead: &[u8], lsn: Lsn, out: &mut BytesMut) {
    out.put_slice(lead);
    out.put_slice(lsn.to_string().as_bytes());
    out.put_u8(b'"');
}

/// Eight lower-case hexadecimal digits.
#[inline]
fn hex(number: u32) -> [u8; 8] {
    let mut digits = [0; 8];
    for (place, digit) in digits.iter_mut().enumerate() {
        let nibble = (number >> (28 - 4 * place)) as u8 & 15;
        *digit = nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    }
    digits
}
