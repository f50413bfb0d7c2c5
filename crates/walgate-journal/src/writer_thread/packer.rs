//! The thread that compresses sealed segments, one at a time, with what the processors have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use tracing::{debug, warn};
use walgate_core::{Failure, StopReason};

use crate::log::{LogFiles, LogView, PackedSegment, Segment};

/// Nice: behind everything that reads, writes or delivers.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// What has become of a segment.
type Packed = Result<Option<PackedSegment>, Failure>;

/// The thread, for as long as the one that writes runs.
#[derive(Debug)]
pub(super) struct PackerThread {
    view: LogView,
    orders: Option<Sender<u64>>,
    done: Receiver<Packed>,
    stop: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
    busy: bool,
    /// Segments below this number were looked at.
    next: u64,
    /// It was said that a segment can't be compressed.
    said: bool,
}

impl PackerThread {
    /// Starts it for all segments that are sealed, the oldest first.
    pub(super) fn start(view: &LogView) -> Result<Self, Failure> {
        let (orders, taken) = channel::<u64>();
        let (given, done) = channel::<Packed>();
        let stop = Arc::new(AtomicBool::new(false));
        let (its_view, its_stop) = (view.clone(), Arc::clone(&stop));
        let work = move || {
            be_nice();
            while let Ok(number) = taken.recv() {
                let stopped = || its_stop.load(Ordering::Relaxed);
                if given.send(its_view.pack(number, &stopped)).is_err() {
                    return;
                }
            }
        };
        let handle = thread::Builder::new()
            .name("walgate-pack".into())
            .spawn(work)
            .map_err(|error| {
                let message = format!("the thread that compresses can't be started: {error}");
                Failure::new(StopReason::State, message)
                    .hint("raise the limit on processes and threads: ulimit -u")
            })?;
        Ok(Self {
            view: view.clone(),
            orders: Some(orders),
            done,
            stop,
            handle: Some(handle),
            busy: false,
            next: 0,
            said: false,
        })
    }

    /// Puts what is compressed in its place, and gives out the next segment. Never waits.
    pub(super) fn look(&mut self, files: &mut LogFiles) {
        if self.busy {
            match self.done.try_recv() {
                Ok(packed) => self.take(packed, files),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
        let segments = self.view.catalogue().segments();
        let next = segments
            .iter()
            .find(|segment| segment.number >= self.next && segment.can_be_packed())
            .map(|segment: &Segment| segment.number);
        if let (Some(number), Some(orders)) = (next, &self.orders) {
            self.next = number + 1;
            self.busy = orders.send(number).is_ok();
        }
    }

    fn take(&mut self, packed: Packed, files: &mut LogFiles) {
        self.busy = false;
        let replaced = match packed {
            Ok(None) => return,
            Ok(Some(packed)) => {
                let (segment, from, to) = (packed.number(), packed.packed_from(), packed.bytes());
                let replaced = files.replace(&self.view, packed);
                replaced
                    .map(|done| debug!(segment, from, to, done, "a segment is compressed"))
                    .map_err(|error| error.to_string())
            }
            Err(failure) => Err(failure.to_string()),
        };
        match replaced {
            Ok(()) => self.said = false,
            // Once: a disk that is full refuses every one.
            Err(why) if !std::mem::replace(&mut self.said, true) => {
                warn!("a segment stays as it is, and is not compressed: {why}");
            }
            Err(_) => {}
        }
    }
}

impl Drop for PackerThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(handle) = self.handle.take()
            && handle.join().is_err()
        {
            warn!("the thread that compresses has broken off");
        }
        while let Ok(packed) = self.done.try_recv() {
            if let Ok(Some(packed)) = packed {
                self.view.discard(&packed);
            }
        }
    }
}

/// Best effort: at the same priority it only takes more from the others.
fn be_nice() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        debug!(%error, "the thread that compresses keeps its priority");
    }
}
