//! What is accepted and not yet delivered: from any order of delivery reports to the contiguous
//! prefix.

use std::collections::VecDeque;

use walgate_core::Position;

/// A number of a record, given by [`Ledger::accept`]; it travels through librdkafka with each of
/// the record's messages. One producer's numbers mean nothing to another's ledger.
pub(crate) type Sequence = usize;

/// Bits of a sequence, which wraps. The rest of a message's opaque word is its partition.
pub(crate) const SEQUENCE_BITS: u32 = 44;
const SEQUENCE_MASK: usize = (1 << SEQUENCE_BITS) - 1;

/// Records that are accepted and not yet delivered, in order. A record is delivered when all of
/// its messages are (event, tombstones, copies), and counts once everything before it is.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: VecDeque<Entry>,
    /// Sequence of the first entry.
    base: Sequence,
    /// Everything up to it is delivered.
    delivered: Option<Position>,
    /// The last position that was accepted.
    accepted: Option<Position>,
    /// Messages of which no report has come.
    messages: usize,
    /// Bytes of the entries that wait for reports.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    position: Position,
    /// Messages without a report.
    outstanding: u32,
    /// A message was refused: this record is never delivered by this producer.
    refused: bool,
    bytes: usize,
}

impl Ledger {
    /// Takes a record of which `messages` will be sent, `bytes` in all. The caller bounds how much
    /// is in here with [`bytes`](Self::bytes).
    pub(crate) fn accept(&mut self, position: Position, messages: u32, bytes: usize) -> Sequence {
        self.accepted = Some(position);
        self.messages += messages as usize;
        self.bytes += bytes;
        self.entries.push_back(Entry {
            position,
            outstanding: messages,
            refused: false,
            bytes,
        });
        (self.base + self.entries.len() - 1) & SEQUENCE_MASK
    }

    /// Takes a record that has no message here: it is delivered with the one before it.
    pub(crate) fn accept_silent(&mut self, position: Position) {
        self.accepted = Some(position);
        match self.entries.back_mut() {
            Some(last) => last.position = position,
            None => self.delivered = Some(position),
        }
    }

    /// Takes back the youngest record, of which only `sent` messages were handed over.
    ///
    /// Its reports may still come; they count for nothing.
    pub(crate) fn abandon_last(&mut self, sent: u32) {
        if let Some(last) = self.entries.back_mut() {
            last.refused = true;
            let unsent = last.outstanding.saturating_sub(sent);
            last.outstanding -= unsent;
            self.messages -= unsent as usize;
        }
    }

    /// Forgets everything that is not delivered. Only while no report is due: [`messages`] is 0.
    ///
    /// [`messages`]: Self::messages
    pub(crate) fn restart(&mut self) {
        debug_assert_eq!(self.messages, 0, "reports are still due");
        self.base = (self.base + self.entries.len()) & SEQUENCE_MASK;
        self.entries.clear();
        self.accepted = self.delivered;
        self.bytes = 0;
    }

    /// A message's report. Returns whether the delivered position has grown.
    pub(crate) fn report(&mut self, sequence: Sequence, delivered: bool) -> bool {
        let place = self.place(sequence);
        let entry = self.entries.get_mut(place);
        let Some(entry) = entry else {
            debug_assert!(false, "a report for a record that is not here");
            return false;
        };
        if entry.outstanding == 0 {
            debug_assert!(false, "more reports than messages");
            return false;
        }
        entry.outstanding -= 1;
        entry.refused |= !delivered;
        self.messages -= 1;
        if entry.outstanding == 0 {
            self.bytes -= entry.bytes;
        }
        self.advance()
    }

    /// Position of the record with this number, while it is not delivered.
    pub(crate) fn position(&self, sequence: Sequence) -> Option<Position> {
        self.entries
            .get(self.place(sequence))
            .map(|entry| entry.position)
    }

    /// Everything up to it is delivered; none before the first.
    pub(crate) const fn delivered(&self) -> Option<Position> {
        self.delivered
    }

    /// The last position that was accepted.
    pub(crate) const fn accepted(&self) -> Option<Position> {
        self.accepted
    }

    /// Bytes of records that wait for reports.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages of which no report has come.
    pub(crate) const fn messages(&self) -> usize {
        self.messages
    }

    /// Whether everything that was accepted is delivered.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    const fn place(&self, sequence: Sequence) -> usize {
        sequence.wrapping_sub(self.base) & SEQUENCE_MASK
    }

    fn advance(&mut self) -> bool {
        let before = self.base;
        while let Some(first) = self.entries.front() {
            if first.outstanding > 0 || first.refused {
                break;
            }
            self.delivered = Some(first.position);
            self.entries.pop_front();
            self.base = (self.base + 1) & SEQUENCE_MASK;
        }
        self.base != before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use walgate_core::Lsn;

    use super::*;

    fn at(index: u32) -> Position {
        Position::new(0, Lsn(1000), index)
    }

    #[test]
    fn a_record_without_messages_goes_with_the_one_before() {
        let mut ledger = Ledger::default();
        ledger.accept_silent(at(1));
        assert_eq!(ledger.delivered(), Some(at(1)));
        let first = ledger.accept(at(2), 1, 10);
        ledger.accept_silent(at(3));
        assert_eq!(ledger.delivered(), Some(at(1)));
        assert!(ledger.report(first, true));
        assert_eq!(ledger.delivered(), Some(at(3)));
        assert!(ledger.is_empty());
    }

    #[test]
    fn a_refused_record_holds_everything_behind_it() {
        let mut ledger = Ledger::default();
        let numbers: Vec<_> = (1..=3).map(|i| ledger.accept(at(i), 1, 10)).collect();
        assert!(ledger.report(numbers[0], true));
        assert!(!ledger.report(numbers[1], false));
        assert!(!ledger.report(numbers[2], true));
        assert_eq!(ledger.delivered(), Some(at(1)));
        assert_eq!((ledger.messages(), ledger.bytes()), (0, 0));
        assert!(!ledger.is_empty());
        assert_eq!(ledger.position(numbers[1]), Some(at(2)));
    }

    #[test]
    fn an_abandoned_record_is_never_delivered() {
        let mut ledger = Ledger::default();
        let first = ledger.accept(at(1), 1, 10);
        let second = ledger.accept(at(2), 3, 10);
        ledger.abandon_last(1);
        assert_eq!(ledger.messages(), 2);
        ledger.report(second, true);
        ledger.report(first, true);
        assert_eq!(ledger.delivered(), Some(at(1)));
        assert_eq!(ledger.messages(), 0);

        ledger.restart();
        assert!(ledger.is_empty());
        assert_eq!((ledger.accepted(), ledger.bytes()), (Some(at(1)), 0));
        let again = ledger.accept(at(2), 1, 10);
        assert_ne!(again, second);
        ledger.report(again, true);
        assert_eq!(ledger.delivered(), Some(at(2)));
    }

    #[test]
    fn numbers_wrap() {
        let mut ledger = Ledger {
            base: SEQUENCE_MASK - 1,
            ..Ledger::default()
        };
        let numbers: Vec<_> = (1..=4).map(|i| ledger.accept(at(i), 1, 10)).collect();
        assert_eq!(numbers, [SEQUENCE_MASK - 1, SEQUENCE_MASK, 0, 1]);
        for number in numbers.into_iter().rev() {
            ledger.report(number, true);
        }
        assert_eq!(ledger.delivered(), Some(at(4)));
    }

    proptest! {
        /// Against the plain definition: the last record before the first that lacks a report.
        #[test]
        fn equals_the_contiguous_prefix(
            counts in prop::collection::vec(0u32..4, 1..60),
            order in prop::collection::vec(any::<(prop::sample::Index, bool)>(), 0..200),
        ) {
            let mut ledger = Ledger::default();
            let mut waiting = Vec::new();
            let mut plain: Vec<(u32, bool)> = Vec::new();
            for (place, count) in counts.iter().enumerate() {
                if *count == 0 {
                    ledger.accept_silent(at(place as u32));
                } else {
                    let number = ledger.accept(at(place as u32), *count, 7);
                    waiting.extend((0..*count).map(|_| (place, number)));
                }
                plain.push((*count, false));
            }
            for (pick, delivered) in order {
                if waiting.is_empty() {
                    break;
                }
                // Mostly delivered: `false` alone would stop at once.
                let delivered = delivered || pick.index(10) > 0;
                let (place, number) = waiting.swap_remove(pick.index(waiting.len()));
                ledger.report(number, delivered);
                plain[place].0 -= 1;
                plain[place].1 |= !delivered;
                let prefix = plain.iter().take_while(|(left, refused)| *left == 0 && !refused).count();
                prop_assert_eq!(ledger.delivered(), prefix.checked_sub(1).map(|p| at(p as u32)));
                prop_assert_eq!(ledger.messages(), waiting.len());
                let held = plain.iter().zip(&counts).filter(|((left, _), _)| *left > 0).count();
                prop_assert_eq!(ledger.bytes(), held * 7);
            }
            prop_assert_eq!(ledger.is_empty(), ledger.delivered() == ledger.accepted());
        }
    }
}
