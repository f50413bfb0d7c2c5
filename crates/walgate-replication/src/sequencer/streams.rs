//! All transactions that are sent while they run, and what they may take together.

use std::collections::HashMap;

use walgate_core::Xid;

use crate::sequencer::again::{Size, Unstream, Why};
use crate::sequencer::stream::{Stream, WhoseMessage};

/// Sub-transactions, definitions and changes of them that are kept of all open transactions: some
/// ten megabytes. A transaction with more is sent after its commit, where nothing has to be kept.
const MAX_PARTS: usize = 1 << 18;
/// What the definitions of all open transactions may take of memory, in bytes.
const MAX_DEFINITIONS: usize = 64 << 20;

/// How large streamed transactions may become before they are given up, in bytes of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamLimits {
    /// One transaction.
    pub(crate) each: u64,
    /// All that are open, together.
    pub(crate) together: u64,
}

impl StreamLimits {
    /// None at all.
    pub(crate) const NONE: Self = Self {
        each: u64::MAX,
        together: u64::MAX,
    };
}

/// All transactions that are sent while they run.
#[derive(Debug)]
pub(crate) struct Streams {
    limits: StreamLimits,
    /// The one whose block is open.
    block: Option<Stream>,
    others: HashMap<Xid, Stream>,
    /// What the others have, together.
    bytes: u64,
    parts: usize,
    definitions: usize,
}

impl Streams {
    pub(crate) fn new(limits: StreamLimits) -> Self {
        Self {
            limits,
            block: None,
            others: HashMap::new(),
            bytes: 0,
            parts: 0,
            definitions: 0,
        }
    }

    /// Whether none is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.block.is_none() && self.others.is_empty()
    }

    /// The one whose block is open.
    #[inline]
    pub(crate) const fn block(&mut self) -> Option<&mut Stream> {
        self.block.as_mut()
    }

    /// The transaction whose block is open, for errors.
    pub(crate) fn block_xid(&self) -> Option<Xid> {
        self.block.as_ref().map(|stream| stream.xid)
    }

    /// A block begins.
    pub(crate) fn start(&mut self, xid: Xid) {
        self.stop();
        let stream = self.take(xid);
        self.block = Some(stream.unwrap_or_else(|| Stream::new(xid)));
    }

    /// It ends.
    pub(crate) fn stop(&mut self) {
        if let Some(stream) = self.block.take() {
            self.put(stream);
        }
    }

    /// Something of a transaction has been handed on.
    pub(crate) fn handed(&mut self, xid: Xid) {
        let block = self.block.as_mut().filter(|stream| stream.xid == xid);
        if let Some(stream) = block.or_else(|| self.others.get_mut(&xid)) {
            stream.handed = true;
        }
    }

    /// A transaction has come to its end.
    pub(crate) fn take(&mut self, xid: Xid) -> Option<Stream> {
        let stream = self.others.remove(&xid)?;
        self.bytes -= stream.bytes;
        self.parts -= stream.parts();
        self.definitions -= stream.definition_bytes();
        Some(stream)
    }

    fn put(&mut self, stream: Stream) {
        self.bytes += stream.bytes;
        self.parts += stream.parts();
        self.definitions += stream.definition_bytes();
        self.others.insert(stream.xid, stream);
    }

    /// A sub-transaction was rolled back. Returns how many frames stay, or none when it takes
    /// nothing with it.
    pub(crate) fn abort_sub(&mut self, xid: Xid, sub: Xid) -> Result<Option<u64>, Unstream> {
        let Some(mut stream) = self.take(xid) else {
            return Ok(None);
        };
        let cut = stream.abort_sub(sub);
        self.put(stream);
        cut.map_err(|WhoseMessage| Unstream {
            xid,
            why: Why::WhoseMessage { sub },
        })
    }

    /// Which transaction has become too large to be kept, if one has.
    #[inline]
    pub(crate) fn too_large(&self) -> Option<Unstream> {
        let block = self.block.as_ref()?;
        let each = block.bytes > self.limits.each;
        let together = block.bytes.saturating_add(self.bytes) > self.limits.together;
        let parts = block.parts() + self.parts > MAX_PARTS
            || block.definition_bytes() + self.definitions > MAX_DEFINITIONS;
        if each || together || parts {
            return Some(self.describe(block, each, together));
        }
        None
    }

    /// Whoever keeps a transaction has no room for it.
    pub(super) fn no_room(&self, xid: Xid, why: String) -> Unstream {
        let block = self.block.as_ref().filter(|block| block.xid == xid);
        let size = block.or_else(|| self.others.get(&xid)).map(|stream| Size {
            bytes: stream.bytes,
            max: self.limits.each,
            tables: stream.tables(),
        });
        Unstream {
            xid,
            why: Why::NoRoom(why, size),
        }
    }

    #[cold]
    fn describe(&self, block: &Stream, each: bool, together: bool) -> Unstream {
        let size = |stream: &Stream, bytes: u64, max: u64| Size {
            bytes,
            max,
            tables: stream.tables(),
        };
        if each {
            let why = Why::TooLarge(size(block, block.bytes, self.limits.each));
            return Unstream {
                xid: block.xid,
                why,
            };
        }
        let all = self.others.values().chain([block]);
        if together {
            let longest = all.max_by_key(|stream| stream.bytes).unwrap_or(block);
            let bytes = self.bytes.saturating_add(block.bytes);
            let why = Why::TooLargeTogether(size(longest, bytes, self.limits.together));
            return Unstream {
                xid: longest.xid,
                why,
            };
        }
        let most = all.max_by_key(|stream| stream.parts().max(stream.definition_bytes()));
        Unstream {
            xid: most.unwrap_or(block).xid,
            why: Why::TooManyParts,
        }
    }
}
