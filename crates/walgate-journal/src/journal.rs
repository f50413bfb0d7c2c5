//! The journal: the ring, and whoever waits for it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use walgate_core::{Failure, Frames, Gap, Lsn, Position, StopReason, Watermark};

use crate::cursor::Cursor;
use crate::disk_journal::Behind;
use crate::log::{FinishedSpool, LogView, Spools};
use crate::ring::{ReaderId, Ring};
use crate::writer_thread::{Desk, WriterThread};
use crate::{Demand, JournalStats};

/// Memory that a journal may hold unless told otherwise, in bytes: seconds of a busy source, and
/// small beside any server that runs Kafka clients.
pub const DEFAULT_BUDGET_BYTES: usize = 64 << 20;

/// The log between one source and many readers. Cheap to clone: all clones are the same journal.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    /// Ends with the last clone.
    _thread: Option<Arc<WriterThread>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The thread that writes waits here.
    pub(crate) work: Condvar,
    /// What lies behind the memory.
    pub(crate) behind: Option<Behind>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) ring: Ring,
    /// Readers that have read everything and wait for more.
    pub(crate) readers: Vec<(ReaderId, Waker)>,
    /// Appends that wait for room.
    room: Vec<Waker>,
    /// Why the disk has ended the journal.
    pub(crate) failure: Option<Failure>,
    /// Between the journal and the thread that writes.
    pub(crate) desk: Desk,
}

impl Shared {
    pub(crate) fn new(ring: Ring, behind: Option<Behind>) -> Self {
        Self {
            state: Mutex::new(State {
                ring,
                readers: Vec::new(),
                room: Vec::new(),
                failure: None,
                desk: Desk::default(),
            }),
            work: Condvar::new(),
            behind,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; a poisoned state is still a state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that may make room, and wakes the appends that wait for it.
    pub(crate) fn free(&self, work: impl FnOnce(&mut Ring) -> bool) {
        let (room, call) = {
            let mut state = self.lock();
            let room = if work(&mut state.ring) {
                std::mem::take(&mut state.room)
            } else {
                Vec::new()
            };
            (room, state.desk.call_for_space())
        };
        self.call(call);
        room.into_iter().for_each(Waker::wake);
    }

    /// Entries before this number are safe on disk. Who waits for what is only there is woken.
    pub(crate) fn synced(&self, number: u64) {
        let spooled = self.lock().ring.has_spooled();
        self.free(|ring| ring.synced(number));
        if spooled {
            self.extend(|_| {});
        }
    }

    /// Does something that readers at the end wait for, and wakes them.
    pub(crate) fn extend(&self, work: impl FnOnce(&mut Ring)) {
        let (readers, call) = {
            let mut state = self.lock();
            work(&mut state.ring);
            (state.take_readers(), state.call_to_write())
        };
        wake(readers);
        self.call(call);
    }

    /// The disk has ended the journal: everybody is told, and nothing is appended any more.
    pub(crate) fn fail(&self, failure: Failure) {
        let (readers, room) = {
            let mut state = self.lock();
            state.failure.get_or_insert(failure);
            (state.take_readers(), std::mem::take(&mut state.room))
        };
        wake(readers);
        room.into_iter().for_each(Waker::wake);
    }

    /// Calls the thread that writes.
    pub(crate) fn call(&self, call: bool) {
        if call {
            self.work.notify_one();
        }
    }
}

impl State {
    fn take_readers(&mut self) -> Vec<(ReaderId, Waker)> {
        let readers = std::mem::take(&mut self.readers);
        for (id, _) in &readers {
            if let Some(reader) = self.ring.reader_mut(*id) {
                reader.waiting = false;
            }
        }
        readers
    }

    /// Whether the thread that writes is to be called now that something was appended.
    fn call_to_write(&mut self) -> bool {
        self.desk
            .call_to_write(self.ring.is_ended(), || self.ring.unwritten().0)
    }

    fn is_over(&self) -> Option<Failure> {
        if let Some(failure) = &self.failure {
            return Some(failure.clone());
        }
        let message = "frames were appended behind the end of the journal";
        self.ring
            .is_ended()
            .then(|| Failure::new(StopReason::Data, message))
    }
}

/// Outside of the lock: a woken reader takes it at once.
fn wake(readers: Vec<(ReaderId, Waker)>) {
    for (_, waker) in readers {
        waker.wake();
    }
}

impl Journal {
    /// A journal in memory that holds at most `budget_bytes`; one run of frames that is larger
    /// passes alone. `start` is where the source starts: everything up to it is not kept, and a
    /// reader that still needs it is told of a gap.
    pub fn in_memory(budget_bytes: usize, start: Position) -> Self {
        Self {
            shared: Arc::new(Shared::new(Ring::new(budget_bytes, start), None)),
            _thread: None,
        }
    }

    pub(crate) fn on_disk(shared: Arc<Shared>, thread: WriterThread) -> Self {
        Self {
            shared,
            _thread: Some(Arc::new(thread)),
        }
    }

    /// Appends frames; waits while there is no room: in memory while required readers hold the
    /// whole budget, on disk while the disk does not take what was appended before. Without a disk,
    /// optional readers that are in the way are dropped behind. Progress without frames needs no
    /// room and never waits.
    ///
    /// Cancel-safe in this sense: when the future is dropped before it is ready, nothing was
    /// appended.
    ///
    /// # Errors
    ///
    /// When the journal was [ended](Self::end), the frames don't say where they stand, or the disk
    /// has [failed](Self::failure).
    pub async fn append(&self, frames: Frames) -> Result<(), Failure> {
        let mut frames = Some(frames);
        poll_fn(|cx| {
            let (readers, call) = {
                let mut state = self.shared.lock();
                if let Some(failure) = state.is_over() {
                    return Poll::Ready(Err(failure));
                }
                let needs_room = frames.as_ref().is_some_and(|run| !run.frames.is_empty());
                if needs_room && !frames.as_ref().is_some_and(|run| state.ring.make_room(run)) {
                    if !state.room.iter().any(|waker| waker.will_wake(cx.waker())) {
                        state.room.push(cx.waker().clone());
                    }
                    let call = state.desk.call_for_room();
                    drop(state);
                    self.shared.call(call);
                    return Poll::Pending;
                }
                if let Some(run) = frames.take()
                    && let Err(failure) = state.ring.push(run)
                {
                    return Poll::Ready(Err(failure));
                }
                (state.take_readers(), state.call_to_write())
            };
            wake(readers);
            self.shared.call(call);
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Appends a transaction that has committed and whose changes lie in a spool. It needs no room
    /// in memory and never waits; readers read it from disk as soon as it is safe there.
    ///
    /// # Errors
    ///
    /// As for [`append`](Self::append), and without a disk.
    pub fn adopt(&self, spool: &Arc<FinishedSpool>) -> Result<(), Failure> {
        let (readers, call) = {
            let mut state = self.shared.lock();
            if let Some(failure) = state.is_over() {
                return Err(failure);
            }
            if self.shared.behind.is_none() {
                let message = "a journal in memory takes no spools";
                return Err(Failure::new(StopReason::Config, message));
            }
            state.ring.push_spool(spool);
            (state.take_readers(), state.call_to_write())
        };
        wake(readers);
        self.shared.call(call);
        Ok(())
    }

    /// A keeper of the spools of transactions that run; none without a disk. There must be only
    /// one for a journal.
    pub fn spools(&self) -> Option<Spools> {
        let behind = self.shared.behind.as_ref()?;
        let storage = Arc::clone(behind.view.storage());
        Some(Spools::counted(
            storage,
            behind.segment,
            behind.spools,
            Arc::clone(&behind.unadopted),
        ))
    }

    /// Appends a gap that the source has announced; every reader is told of it at its place.
    pub fn append_gap(&self, gap: Gap) {
        self.shared.extend(|ring| ring.push_gap(gap));
    }

    /// Nothing will be appended any more: readers end when they have read everything, and what was
    /// appended is written and synced at once.
    pub fn end(&self) {
        self.shared.extend(Ring::end);
    }

    /// Ends it, and waits until everything that was appended is safe on disk and the files are
    /// closed. In memory there is nothing to wait for.
    ///
    /// What the disk has no room for is not waited for: it is not [durable](Self::durable), so the
    /// slot still has it.
    ///
    /// # Errors
    ///
    /// When the disk has [failed](Self::failure).
    pub async fn close(&self) -> Result<(), Failure> {
        self.end();
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            if self.shared.behind.is_some() && !state.desk.is_closed(cx.waker()) {
                return Poll::Pending;
            }
            Poll::Ready(state.failure.clone().map_or(Ok(()), Err))
        })
        .await
    }

    /// A new reader that has everything up to `start`. When the journal no longer keeps what
    /// follows `start`, its first read is a gap.
    pub fn reader(&self, name: impl Into<String>, demand: Demand, start: Position) -> Cursor {
        let id = self
            .shared
            .lock()
            .ring
            .add_reader(name.into(), demand, start);
        Cursor::new(Arc::clone(&self.shared), id)
    }

    /// Everything that commits below this LSN is safe on disk; it starts where the recovered log
    /// ends. None in memory. It stops for good when the disk has [failed](Self::failure).
    pub fn durable(&self) -> Option<Watermark<Lsn>> {
        self.shared
            .behind
            .as_ref()
            .map(|behind| behind.durable.clone())
    }

    /// What is on disk, to look at. None in memory.
    pub fn view(&self) -> Option<&LogView> {
        self.shared.behind.as_ref().map(|behind| &behind.view)
    }

    /// Why the disk has ended the journal. Appends and readers are told too.
    pub fn failure(&self) -> Option<Failure> {
        self.shared.lock().failure.clone()
    }

    /// A required reader becomes an optional one: nothing is kept for it any more, and it is told of a
    /// gap where it has lost something. Does nothing when there is no such reader.
    pub fn release(&self, reader: &str) {
        self.shared.free(|ring| ring.dismiss(reader));
    }

    /// A checkpoint is durable that says that the sinks have everything up to these positions.
    ///
    /// From its first call on, what a required reader has released is kept on disk until a
    /// checkpoint has it too: after a crash, the reader comes back at what the checkpoint says.
    pub fn checkpointed(&self, sinks: &BTreeMap<String, Position>) {
        if self.shared.behind.is_none() {
            return;
        }
        let call = {
            let mut state = self.shared.lock();
            state.ring.checkpointed(sinks);
            state.desk.call_for_space()
        };
        self.shared.call(call);
    }

    /// Sinks get again what they have had, from behind these positions on. For required ones it is
    /// kept, until the budget is needed for what some of them have not had.
    pub fn gives_again(&self, sinks: &BTreeMap<String, Position>) {
        self.shared.lock().ring.gives_again(sinks);
    }

    /// The last position that was appended.
    pub fn newest(&self) -> Position {
        self.shared.lock().ring.newest()
    }

    /// How full it is, and who holds it.
    pub fn stats(&self) -> JournalStats {
        let mut stats = {
            let state = self.shared.lock();
            let mut stats = state.ring.stats(!state.room.is_empty());
            stats.disk.clone_from(&state.desk.stats);
            stats
        };
        if let Some(behind) = &self.shared.behind {
            behind.complete(&mut stats);
        }
        stats
    }
}
