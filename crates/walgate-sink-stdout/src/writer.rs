//! A sink that writes in a thread of its own.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use bytes::BytesMut;
use tokio::sync::{Notify, mpsc, oneshot};
use walgate_core::{Batch, ErrorClass, Position, Sink, SinkError, Watermark};

/// Where a [`WriterSink`] writes. All calls come from one thread and may block.
pub trait Output: Send + 'static {
    /// Readies the output for the first or the next attempt: whatever was written but not synced
    /// is taken back where that is possible. Returns the last position that it holds.
    ///
    /// # Errors
    ///
    /// When the destination can't be used now.
    fn open(&mut self) -> io::Result<Option<Position>>;

    /// Writes all of `bytes`: whole events.
    ///
    /// # Errors
    ///
    /// When not all of it could be written; what was written of it is unknown.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable what was written.
    ///
    /// # Errors
    ///
    /// When it may not be durable; it is not tried again as if it had worked.
    fn sync(&mut self) -> io::Result<()>;

    /// What the destination is called in messages.
    fn name(&self) -> String;
}

/// Batches that may wait for the thread: one that it writes and one that is filled meanwhile.
const WAITING_BATCHES: usize = 1;

/// Bytes after which a sync is due while more is waiting: bounds what a crash repeats, and is large
/// enough that the cost of an fsync (some milliseconds on a cloud disk) disappears.
const SYNC_BYTES: usize = 8 << 20;

enum Job {
    Open(oneshot::Sender<io::Result<Option<Position>>>),
    Write { bytes: BytesMut, last: Position },
    Close(oneshot::Sender<()>),
}

/// What the thread and the sink share.
#[derive(Default)]
struct Shared {
    delivered: Watermark<Position>,
    failed: Mutex<Option<SinkError>>,
    failure: Notify,
    spare: Mutex<Vec<BytesMut>>,
}

impl Shared {
    fn failed(&self) -> Option<SinkError> {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn fail(&self, error: SinkError) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.failure.notify_one();
    }

    fn forgive(&self) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A [`Sink`] that writes to an [`Output`] in a thread of its own.
pub struct WriterSink<O> {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    accepted: Position,
    name: String,
    output: std::marker::PhantomData<fn() -> O>,
}

impl<O: Output> WriterSink<O> {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread.
    pub fn start(output: O) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(WAITING_BATCHES);
        let shared = Arc::new(Shared::default());
        let name = output.name();
        let worker = Worker {
            output,
            shared: Arc::clone(&shared),
            unsynced: None,
        };
        thread::Builder::new()
            .name("walgate-writer".into())
            .spawn(move || worker.run(queue))?;
        let output = std::marker::PhantomData;
        Ok(Self {
            jobs,
            shared,
            accepted: Position::ZERO,
            name,
            output,
        })
    }

    fn gone(&self) -> SinkError {
        SinkError::fatal(format!("the writer of {} has ended", self.name))
    }
}

impl<O: Output> Sink for WriterSink<O> {
    fn delivered(&self) -> Watermark<Position> {
        self.shared.delivered.clone()
    }

    async fn open(&mut self) -> Result<Option<Position>, SinkError> {
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(Job::Open(reply))
            .await
            .map_err(|_| self.gone())?;
        let held = answer.await.map_err(|_| self.gone())?;
        let held = held.map_err(|error| classify(&self.name, "open", &error))?;
        self.accepted = self.shared.delivered.get();
        Ok(held)
    }

    async fn write(&mut self, batch: &mut Batch) -> Result<(), SinkError> {
        if let Some(error) = self.shared.failed() {
            return Err(error);
        }
        let Some(last) = batch.last() else {
            return Ok(());
        };
        let permit = self
            .jobs
            .reserve()
            .await
            .map_err(|_| SinkError::fatal(format!("the writer of {} has ended", self.name)))?;
        let spare = self
            .shared
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let bytes = std::mem::replace(&mut batch.bytes, spare.unwrap_or_default());
        permit.send(Job::Write { bytes, last });
        self.accepted = last;
        Ok(())
    }

    async fn flush(&mut self) -> Result<Position, SinkError> {
        loop {
            if let Some(error) = self.shared.failed() {
                return Err(error);
            }
            let delivered = self.shared.delivered.get();
            if delivered >= self.accepted {
                return Ok(delivered);
            }
            tokio::select! {
                _ = self.shared.delivered.above(delivered) => {}
                () = self.shared.failure.notified() => {}
            }
        }
    }

    async fn close(&mut self, deadline: Instant) -> Result<(), SinkError> {
        let (reply, done) = oneshot::channel();
        let closing = async {
            if self.jobs.send(Job::Close(reply)).await.is_ok() {
                // An error here means that the thread has ended, which is what is waited for.
                let _ended = done.await;
            }
        };
        let closed = tokio::time::timeout_at(deadline.into(), closing).await;
        match (self.shared.failed(), closed) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(()),
            (None, Err(_)) => Err(SinkError::transient(format!("{} still blocks", self.name))),
        }
    }
}

/// The thread's side.
struct Worker<O> {
    output: O,
    shared: Arc<Shared>,
    /// Bytes written since the last sync, and the last position in them.
    unsynced: Option<(usize, Position)>,
}

impl<O: Output> Worker<O> {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = self.next(&mut queue) {
            match job {
                Job::Open(reply) => {
                    self.unsynced = None;
                    let held = self.output.open();
                    if let Ok(held) = &held {
                        self.shared.forgive();
                        if let Some(held) = *held {
                            self.shared.delivered.advance(held);
                        }
                    }
                    // Whoever asked may have given up; the next open asks again.
                    let _asker = reply.send(held);
                }
                Job::Write { bytes, last } => self.write(bytes, last),
                Job::Close(reply) => {
                    self.sync();
                    let _asker = reply.send(());
                    return;
                }
            }
        }
    }

    /// The next job; what is unsynced is synced before the thread waits for one.
    fn next(&mut self, queue: &mut mpsc::Receiver<Job>) -> Option<Job> {
        if let Ok(job) = queue.try_recv() {
            return Some(job);
        }
        self.sync();
        queue.blocking_recv()
    }

    fn write(&mut self, mut bytes: BytesMut, last: Position) {
        // Behind an error everything is dropped until the chain opens the sink again.
        if self.shared.failed().is_none() {
            match self.output.write(&bytes) {
                Ok(()) => {
                    let before = self.unsynced.map_or(0, |(bytes, _)| bytes);
                    self.unsynced = Some((before + bytes.len(), last));
                    if before + bytes.len() >= SYNC_BYTES {
                        self.sync();
                    }
                }
                Err(error) => self.fail("write to", &error),
            }
        }
        bytes.clear();
        let mut spare = self
            .shared
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if spare.len() <= WAITING_BATCHES {
            spare.push(bytes);
        }
    }

    fn sync(&mut self) {
        let Some((_, last)) = self.unsynced.take() else {
            return;
        };
        match self.output.sync() {
            Ok(()) => {
                self.shared.delivered.advance(last);
            }
            Err(error) => self.fail("sync", &error),
        }
    }

    fn fail(&mut self, doing: &str, error: &io::Error) {
        self.unsynced = None;
        self.shared
            .fail(classify(&self.output.name(), doing, error));
    }
}

/// The one table from I/O errors to classes.
fn classify(name: &str, doing: &str, error: &io::Error) -> SinkError {
    use io::ErrorKind as K;
    let message = format!("could not {doing} {name}: {error}");
    let (class, hint) = match error.kind() {
        K::BrokenPipe => (ErrorClass::Closed, None),
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge => (
            ErrorClass::Transient,
            Some("free space on its file system; delivery goes on by itself"),
        ),
        K::PermissionDenied | K::ReadOnlyFilesystem => (
            ErrorClass::Fatal,
            Some("give walgate's user the right to write there"),
        ),
        K::NotFound | K::NotADirectory | K::IsADirectory | K::InvalidFilename => (
            ErrorClass::Fatal,
            Some("check the path in the configuration"),
        ),
        K::InvalidData => (
            ErrorClass::Fatal,
            Some("move the file away, or name another one"),
        ),
        _ => (ErrorClass::Transient, None),
    };
    SinkError {
        class,
        message,
        hint: hint.map(str::to_owned),
        position: None,
    }
}
