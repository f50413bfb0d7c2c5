//! The journal: the ring, and whoever waits for it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use walgate_core::{Failure, Frames, Gap, Position, StopReason};

use crate::cursor::Cursor;
use crate::ring::{ReaderId, Ring};
use crate::{Demand, JournalStats};

/// Memory that a journal may hold unless told otherwise, in bytes: seconds of a busy source, and
/// small beside any server that runs Kafka clients.
pub const DEFAULT_BUDGET_BYTES: usize = 64 << 20;

/// The log between one source and many readers. Cheap to clone: all clones are the same journal.
#[derive(Debug, Clone)]
pub struct Journal(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared(Mutex<State>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) ring: Ring,
    /// Readers that have read everything and wait for more.
    pub(crate) readers: Vec<(ReaderId, Waker)>,
    /// Appends that wait for room.
    room: Vec<Waker>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; a poisoned state is still a state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that may make room, and wakes the appends that wait for it.
    pub(crate) fn free(&self, work: impl FnOnce(&mut Ring) -> bool) {
        let room = {
            let mut state = self.lock();
            if !work(&mut state.ring) {
                return;
            }
            std::mem::take(&mut state.room)
        };
        room.into_iter().for_each(Waker::wake);
    }

    /// Does something that readers at the end wait for, and wakes them.
    fn extend(&self, work: impl FnOnce(&mut Ring)) {
        let readers = {
            let mut state = self.lock();
            work(&mut state.ring);
            state.take_readers()
        };
        wake(readers);
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
        Self(Arc::new(Shared(Mutex::new(State {
            ring: Ring::new(budget_bytes, start),
            readers: Vec::new(),
            room: Vec::new(),
        }))))
    }

    /// Appends frames; waits while required readers hold the whole budget. Optional readers that
    /// are in the way are dropped behind. Progress without frames needs no room and never waits.
    ///
    /// Cancel-safe in this sense: when the future is dropped before it is ready, nothing was
    /// appended.
    ///
    /// # Errors
    ///
    /// When the journal was [ended](Self::end), or the frames don't say where they stand.
    pub async fn append(&self, frames: Frames) -> Result<(), Failure> {
        let mut frames = Some(frames);
        poll_fn(|cx| {
            let readers = {
                let mut state = self.0.lock();
                if state.ring.is_ended() {
                    let message = "frames were appended behind the end of the journal";
                    return Poll::Ready(Err(Failure::new(StopReason::Data, message)));
                }
                let needs_room = frames.as_ref().is_some_and(|run| !run.frames.is_empty());
                if needs_room && !frames.as_ref().is_some_and(|run| state.ring.make_room(run)) {
                    if !state.room.iter().any(|waker| waker.will_wake(cx.waker())) {
                        state.room.push(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
                if let Some(run) = frames.take()
                    && let Err(failure) = state.ring.push(run)
                {
                    return Poll::Ready(Err(failure));
                }
                state.take_readers()
            };
            wake(readers);
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Appends a gap that the source has announced; every reader is told of it at its place.
    pub fn append_gap(&self, gap: Gap) {
        self.0.extend(|ring| ring.push_gap(gap));
    }

    /// Nothing will be appended any more: readers end when they have read everything.
    pub fn end(&self) {
        self.0.extend(Ring::end);
    }

    /// A new reader that has everything up to `start`. When the journal no longer keeps what
    /// follows `start`, its first read is a gap.
    pub fn reader(&self, name: impl Into<String>, demand: Demand, start: Position) -> Cursor {
        let id = self.0.lock().ring.add_reader(name.into(), demand, start);
        Cursor::new(Arc::clone(&self.0), id)
    }

    /// How full it is, and who holds it.
    pub fn stats(&self) -> JournalStats {
        let state = self.0.lock();
        state.ring.stats(!state.room.is_empty())
    }
}
