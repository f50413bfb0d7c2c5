//! The thread that writes: it takes what was appended from the ring, writes, syncs, and deletes
//! what nobody needs.

use std::sync::Arc;
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{error, warn};
use walgate_core::{Failure, StopReason};

use crate::DiskStats;
use crate::journal::Shared;

mod packer;
mod space;
mod writer;

pub(crate) use writer::Writer;

/// What is queued is written without waiting for its time when it is this much memory: a large
/// enough write for any disk, and a small part of the budget.
pub(crate) const WRITE_AT_BYTES: u64 = 1 << 20;

/// How long a journal that is dropped waits for a write that is under way. A disk that hangs must
/// not keep the process.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Between the journal and the thread that writes, under the journal's lock.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) parked: Parked,
    /// An append waits for room in memory.
    pub(crate) urgent: bool,
    /// Something was released that may make space.
    pub(crate) look: bool,
    /// The journal is dropped.
    pub(crate) stop: bool,
    /// The thread has ended.
    closed: bool,
    closing: Vec<Waker>,
    pub(crate) stats: Option<DiskStats>,
}

/// What the thread that writes waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Parked {
    /// Nothing: it works.
    #[default]
    No,
    /// Anything that is appended.
    Idle,
    /// A good deal more, or its time.
    Collecting,
    /// Space on disk.
    Space,
}

impl Desk {
    /// Something was appended. Whether the thread is to be called.
    pub(crate) fn call_to_write(&mut self, ended: bool, unwritten: impl FnOnce() -> u64) -> bool {
        let call = match self.parked {
            Parked::No => false,
            Parked::Idle => true,
            Parked::Collecting => ended || unwritten() >= WRITE_AT_BYTES,
            Parked::Space => ended,
        };
        self.called(call)
    }

    /// An append waits for room. Whether the thread is to be called.
    pub(crate) fn call_for_room(&mut self) -> bool {
        self.urgent = true;
        self.called(matches!(self.parked, Parked::Idle | Parked::Collecting))
    }

    /// Something was released. Whether the thread is to be called.
    pub(crate) fn call_for_space(&mut self) -> bool {
        let call = self.parked == Parked::Space;
        self.look |= call;
        self.called(call)
    }

    fn called(&mut self, call: bool) -> bool {
        if call {
            self.parked = Parked::No;
        }
        call
    }

    /// Whether the thread has ended; else `waker` is woken when it has.
    pub(crate) fn is_closed(&mut self, waker: &Waker) -> bool {
        if !self.closed && !self.closing.iter().any(|other| other.will_wake(waker)) {
            self.closing.push(waker.clone());
        }
        self.closed
    }
}

/// The thread, for as long as there is a journal.
#[derive(Debug)]
pub(crate) struct WriterThread {
    shared: Arc<Shared>,
    handle: Option<JoinHandle<()>>,
}

impl WriterThread {
    pub(crate) fn start(shared: Arc<Shared>, writer: Writer) -> Result<Self, Failure> {
        let ending = Ending(Arc::clone(&shared));
        let handle = thread::Builder::new()
            .name("walgate-journal".into())
            .spawn(move || run(writer, ending))
            .map_err(|error| {
                let message = format!("the journal's thread can't be started: {error}");
                Failure::new(StopReason::State, message)
                    .hint("raise the limit on processes and threads: ulimit -u")
            })?;
        Ok(Self {
            shared,
            handle: Some(handle),
        })
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.shared.lock().desk.stop = true;
        self.shared.work.notify_one();
        let Some(handle) = self.handle.take() else {
            return;
        };
        // The last journal may have been held by something that this very thread woke.
        if handle.thread().id() == thread::current().id() {
            return;
        }
        let state = self.shared.lock();
        let waited = self
            .shared
            .work
            .wait_timeout_while(state, STOP_WITHIN, |state| !state.desk.closed);
        let closed = waited.is_ok_and(|(state, _)| state.desk.closed);
        if !closed {
            warn!("the disk does not answer: the journal's thread is left behind");
        } else if handle.join().is_err() {
            error!("the journal's thread has broken off");
        }
    }
}

fn run(mut writer: Writer, ending: Ending) {
    if let Err(failure) = writer.run() {
        let hint = failure.hint.as_deref();
        error!(hint, "the journal has failed: {failure}");
        writer.publish();
        ending.0.fail(failure);
    }
    // The files, and with them the folder, before whoever waits for the end is told.
    drop(writer);
    drop(ending);
}

/// Tells that the thread has ended, however it has.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            let message = "the journal's thread has broken off";
            self.0.fail(Failure::new(StopReason::State, message));
        }
        let closing = {
            let mut state = self.0.lock();
            state.desk.closed = true;
            state.ring.cut_off();
            std::mem::take(&mut state.desk.closing)
        };
        self.0.extend(|_| {});
        // Whoever drops the journal waits for the same condition.
        self.0.work.notify_all();
        closing.into_iter().for_each(Waker::wake);
    }
}
