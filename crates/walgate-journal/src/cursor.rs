//! A reader's place in the journal.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use walgate_core::{Failure, Frames, Gap, GapReason, Position, StopReason};

use crate::OnDamage;
use crate::disk_journal::Behind;
use crate::journal::{Shared, State};
use crate::lagging::{Found, Lagging};
use crate::log::{DamagedPlace, Item, LogEntry};
use crate::ring::{Look, Place, ReaderId, first_whole};

/// What a reader reads next.
#[derive(Debug, Clone)]
pub enum Read {
    /// Frames. They may repeat, from its begin on, a transaction that the source has sent before.
    Frames(Arc<Frames>),
    /// The reader has read everything, and everything up to this position has been appended.
    Progress(Position),
    /// Changes are lost: announced by the source, because this reader fell behind, or because the
    /// disk is damaged. What follows begins with whole transactions behind [`Gap::to`], and with
    /// the rest of a transaction at or below it, which the reader skips.
    Gap(Gap),
    /// The journal has ended.
    End,
}

/// A reader's place in the journal. Dropping it releases the memory that it holds; on disk, what a
/// required reader has not released is kept for when it comes back.
#[derive(Debug)]
pub struct Cursor {
    shared: Arc<Shared>,
    id: ReaderId,
    /// Its way through the log on disk, while it is behind what is in memory.
    lagging: Option<Box<Lagging>>,
}

impl Cursor {
    pub(crate) fn new(shared: Arc<Shared>, id: ReaderId) -> Self {
        Self {
            shared,
            id,
            lagging: None,
        }
    }

    /// Waits for what comes next; wakes at once when something is appended at the end.
    /// Cancel-safe. With a disk, a tokio runtime must be there.
    ///
    /// # Errors
    ///
    /// When the journal can't be read: the disk has failed, or is damaged there. The one in memory
    /// always can.
    pub async fn next(&mut self) -> Result<Read, Failure> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Everything up to `position` is delivered, or will never be asked for again.
    pub fn release(&mut self, position: Position) {
        self.shared.free(|ring| ring.release(self.id, position));
    }

    /// Reads again what comes behind `position`, which must not lie before what was released
    /// unless there is a disk. The first run may hold more than what was asked for. A reader for
    /// which that is not kept, since it is optional or has started behind, reads a gap.
    pub fn rewind(&mut self, position: Position) {
        self.lagging = None;
        self.shared.lock().ring.rewind(self.id, position);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Read, Failure>> {
        loop {
            let (place, base) = match self.look(cx)? {
                Look::Read(read) => {
                    self.lagging = None;
                    return Poll::Ready(Ok(read));
                }
                Look::Wait => return Poll::Pending,
                Look::Hole(lost) => match self.pass_hole(lost)? {
                    Some(gap) => return Poll::Ready(Ok(gap)),
                    None => continue,
                },
                Look::Disk { place, base } => (place, base),
            };
            let found = ready!(self.poll_disk(cx, place, base))?;
            match self.take(found) {
                Ok(Some(read)) => return Poll::Ready(Ok(read)),
                Ok(None) => {}
                Err(failure) => {
                    // Whoever asks again is told again.
                    self.lagging = None;
                    return Poll::Ready(Err(failure));
                }
            }
        }
    }

    /// What is at its place; it is woken when there is nothing yet.
    fn look(&self, cx: &Context<'_>) -> Result<Look, Failure> {
        let mut guard = self.shared.lock();
        let State {
            ring,
            readers,
            failure,
            ..
        } = &mut *guard;
        if let Some(failure) = failure {
            return Err(failure.clone());
        }
        let look = ring.look(self.id);
        if matches!(look, Look::Wait) {
            let waiting = ring
                .reader_mut(self.id)
                .is_some_and(|reader| std::mem::replace(&mut reader.waiting, true));
            if !waiting {
                readers.push((self.id, cx.waker().clone()));
            } else if let Some((_, waker)) = readers.iter_mut().find(|(id, _)| *id == self.id) {
                waker.clone_from(cx.waker());
            }
        }
        Ok(look)
    }

    fn poll_disk(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
        base: u64,
    ) -> Poll<Result<Found, Failure>> {
        let behind = disk(&self.shared)?;
        if !self
            .lagging
            .as_mut()
            .is_some_and(|lagging| lagging.leads_to(place))
        {
            self.lagging = Some(Box::new(Lagging::new(&behind.view, place)));
        }
        match &mut self.lagging {
            Some(lagging) => lagging.poll(cx, base),
            None => Poll::Pending,
        }
    }

    /// What was found on disk as what is read; none when it is to look again.
    fn take(&self, found: Found) -> Result<Option<Read>, Failure> {
        let behind = disk(&self.shared)?;
        match found {
            Found::Entry(LogEntry { number, last, item }) => {
                self.shared.lock().ring.passed(self.id, number, last);
                Ok(Some(match item {
                    Item::Frames(frames) => Read::Frames(Arc::new(frames)),
                    Item::Gap(gap) => Read::Gap(gap),
                }))
            }
            Found::Tail(next) => {
                self.shared.lock().ring.found(self.id, next, None);
                Ok(None)
            }
            Found::Gone { oldest, next } => Ok(self.jump(oldest, next, GapReason::SinkFellBehind)),
            Found::Damaged { damage, next } => {
                let to = damage.to.unwrap_or(behind.start);
                if !self.may_pass(behind, to, is_hole(behind, &damage, next)) {
                    return Err(damage.failure(behind.view.storage().path()));
                }
                Ok(self.jump(to, next, GapReason::JournalDamaged))
            }
        }
    }

    /// Goes on at the entry `next`, what lies up to `lost` is not there: a gap, unless the reader
    /// has it.
    fn jump(&self, lost: Position, next: u64, reason: GapReason) -> Option<Read> {
        let resumed = Position::new(lost.epoch(), first_whole(lost), 0);
        let from = self.shared.lock().ring.found(self.id, next, Some(resumed));
        gap(from, lost, reason)
    }

    /// Goes on behind what an earlier run has not written before it ended.
    fn pass_hole(&self, lost: Position) -> Result<Option<Read>, Failure> {
        let behind = disk(&self.shared)?;
        if !self.may_pass(behind, lost, true) {
            let folder = behind.view.storage().path().display();
            let message = format!(
                "the journal in {folder} ends before {}, up to where everything was confirmed",
                lost.lsn()
            );
            return Err(Failure::new(StopReason::Data, message).hint(
                "restore its newest segments, or let readers go on with a gap: on_damage = \"gap\"",
            ));
        }
        let from = self.shared.lock().ring.passed_hole(self.id, lost);
        Ok(gap(from, lost, GapReason::JournalDamaged))
    }

    /// Whether it may go on behind what is missing up to `to`.
    fn may_pass(&self, behind: &Behind, to: Position, is_hole: bool) -> bool {
        // Where only the sinks drive the slot, they may be ahead of the disk when a process is
        // killed: whoever must have it, has it.
        behind.on_damage == OnDamage::Gap
            || (is_hole && self.shared.lock().ring.can_spare(self.id, to))
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.shared.lock().readers.retain(|(id, _)| *id != self.id);
        self.shared.free(|ring| ring.remove_reader(self.id));
    }
}

/// The gap of a reader that was at `from` and goes on behind `lost`; none when it has all of that.
fn gap(from: Position, lost: Position, reason: GapReason) -> Option<Read> {
    let to = first_whole(lost);
    let resumed = Position::new(lost.epoch(), to, 0);
    (from < resumed && from < lost).then(|| {
        Read::Gap(Gap {
            from: from.lsn(),
            to,
            reason,
        })
    })
}

/// Whether nothing that was ever written is missing there: a run has ended before it had written
/// everything, and the next has begun later in the source's log.
fn is_hole(behind: &Behind, damage: &DamagedPlace, next: u64) -> bool {
    let segments = behind.view.catalogue().segments();
    let place = segments
        .iter()
        .position(|segment| segment.number == damage.segment);
    let before = place
        .and_then(|place| place.checked_sub(1))
        .and_then(|place| segments.get(place));
    before.is_some_and(|before| damage.offset == 0 && before.end_entry == next)
}

fn disk(shared: &Shared) -> Result<&Behind, Failure> {
    shared.behind.as_ref().ok_or_else(|| {
        let message = "a reader of a journal in memory looks for a disk: this is a bug";
        Failure::new(StopReason::State, message)
    })
}
