//! What was appended and is not yet written.

use std::collections::VecDeque;

use walgate_core::Position;

/// Where the log stands behind some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reached {
    /// The end of the last whole transaction.
    pub(super) whole: Position,
    /// The number behind the last entry.
    pub(super) end_entry: u64,
}

/// One thing to do with a file.
#[derive(Debug)]
pub(super) enum Step {
    /// Make the segment's file.
    Begin { segment: u64 },
    /// Write whole records.
    Write {
        segment: u64,
        offset: u64,
        bytes: Vec<u8>,
        reached: Reached,
    },
    /// Give a finished spool the name by which it belongs to the segment.
    Adopt { segment: u64, spool: String },
    /// Nothing more comes for the segment; its index is written.
    Seal { segment: u64 },
}

/// Work for [`LogFiles`](super::LogFiles), in order.
#[derive(Debug, Default)]
pub struct Pending {
    pub(super) steps: VecDeque<Step>,
    bytes: usize,
}

/// A write is at most about this large: what fails is tried again from there, and one call doesn't
/// keep the writer from its syncs for long.
const WRITE_BYTES: usize = 1 << 20;

impl Pending {
    /// Bytes that wait to be written: memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn begin(&mut self, segment: u64) {
        self.steps.push_back(Step::Begin { segment });
    }

    pub(super) fn adopt(&mut self, segment: u64, spool: String) {
        self.steps.push_back(Step::Adopt { segment, spool });
    }

    pub(super) fn seal(&mut self, segment: u64) {
        self.steps.push_back(Step::Seal { segment });
    }

    /// Lets `encode` append whole records at `offset` of the segment to a buffer; it returns where
    /// the log stands behind them.
    pub(super) fn write<R>(
        &mut self,
        segment: u64,
        offset: u64,
        encode: impl FnOnce(&mut Vec<u8>) -> (R, Reached),
    ) -> R {
        let goes_on = matches!(
            self.steps.back(),
            Some(Step::Write { segment: last, bytes, .. })
                if *last == segment && bytes.len() < WRITE_BYTES
        );
        if !goes_on {
            self.steps.push_back(Step::Write {
                segment,
                offset,
                bytes: Vec::new(),
                reached: Reached::default(),
            });
        }
        let Some(Step::Write { bytes, reached, .. }) = self.steps.back_mut() else {
            // Not reached: the step was pushed above. Nothing is lost: it is encoded and dropped.
            return encode(&mut Vec::new()).0;
        };
        let before = bytes.len();
        let (result, now) = encode(bytes);
        *reached = now;
        self.bytes += bytes.len() - before;
        result
    }

    /// Adds what came later.
    pub(super) fn append(&mut self, later: &mut Self) {
        self.steps.append(&mut later.steps);
        self.bytes += std::mem::take(&mut later.bytes);
    }

    /// Takes the first step out, when it is done.
    pub(super) fn done(&mut self) {
        if let Some(Step::Write { bytes, .. }) = self.steps.pop_front() {
            self.bytes -= bytes.len();
        }
    }
}
