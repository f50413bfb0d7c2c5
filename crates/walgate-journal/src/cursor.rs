//! A reader's place in the journal.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use walgate_core::{Failure, Frames, Gap, Position};

use crate::journal::{Shared, State};
use crate::ring::ReaderId;

/// What a reader reads next.
#[derive(Debug, Clone)]
pub enum Read {
    /// Frames. They may repeat, from its begin on, a transaction that the source has sent before.
    Frames(Arc<Frames>),
    /// The reader has read everything, and everything up to this position has been appended.
    Progress(Position),
    /// Changes are lost: announced by the source, or because this reader fell behind. What follows
    /// begins with whole transactions behind [`Gap::to`], and with the rest of a transaction at
    /// or below it, which the reader skips.
    Gap(Gap),
    /// The journal has ended.
    End,
}

/// A reader's place in the journal. Dropping it releases everything that it holds.
#[derive(Debug)]
pub struct Cursor {
    shared: Arc<Shared>,
    id: ReaderId,
}

impl Cursor {
    pub(crate) fn new(shared: Arc<Shared>, id: ReaderId) -> Self {
        Self { shared, id }
    }

    /// Waits for what comes next; wakes at once when something is appended at the end.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the journal can't be read. The one in memory always can.
    pub async fn next(&mut self) -> Result<Read, Failure> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Everything up to `position` is delivered, or will never be asked for again.
    pub fn release(&mut self, position: Position) {
        self.shared.free(|ring| ring.release(self.id, position));
    }

    /// Reads again what comes behind `position`, which must not lie before what was released. The
    /// first run may hold more than what was asked for. A reader for which that is not kept, since
    /// it is optional or has started behind, reads a gap.
    pub fn rewind(&mut self, position: Position) {
        self.shared.lock().ring.rewind(self.id, position);
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Read, Failure>> {
        let mut guard = self.shared.lock();
        let State { ring, readers, .. } = &mut *guard;
        if let Some(read) = ring.read(self.id) {
            return Poll::Ready(Ok(read));
        }
        let waiting = ring
            .reader_mut(self.id)
            .is_some_and(|reader| std::mem::replace(&mut reader.waiting, true));
        if !waiting {
            readers.push((self.id, cx.waker().clone()));
        } else if let Some((_, waker)) = readers.iter_mut().find(|(id, _)| *id == self.id) {
            waker.clone_from(cx.waker());
        }
        Poll::Pending
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.shared.lock().readers.retain(|(id, _)| *id != self.id);
        self.shared.free(|ring| ring.remove_reader(self.id));
    }
}
