//! The task that owns the writing half: it tells the server how far we are, whatever else waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use walgate_core::{Lsn, PgMicros, Watermark};
use walgate_pgoutput::{STANDBY_STATUS_LEN, StandbyStatus};

use crate::feedback::{Action, Feedback, Status};
use crate::monitor::SourceMonitor;

/// Why the reporter has ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReporterEnd {
    /// The server says nothing any more.
    Dead,
    /// The server shuts down and waits for us.
    Yield,
    /// Writing failed.
    Io(String),
    /// Somebody confirmed what was never received.
    Beyond(Lsn),
}

/// What reader and reporter share.
#[derive(Debug)]
pub(crate) struct Shared {
    feedback: Mutex<Feedback>,
    wake: Notify,
    finish: Notify,
    ended: Mutex<Option<ReporterEnd>>,
    has_ended: Notify,
}

impl Shared {
    pub(crate) fn new(feedback: Feedback) -> Arc<Self> {
        Arc::new(Self {
            feedback: Mutex::new(feedback),
            wake: Notify::new(),
            finish: Notify::new(),
            ended: Mutex::new(None),
            has_ended: Notify::new(),
        })
    }

    pub(crate) fn feedback(&self) -> MutexGuard<'_, Feedback> {
        self.feedback.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Have the reporter look again.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Why the reporter has ended, if it has.
    pub(crate) fn end(&self) -> Option<ReporterEnd> {
        self.ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for the reporter to end by itself. Cancel-safe.
    pub(crate) async fn ended(&self) -> ReporterEnd {
        loop {
            let notified = self.has_ended.notified();
            if let Some(end) = self.end() {
                return end;
            }
            notified.await;
        }
    }
}

/// The running task. Dropping it ends the task and closes its half.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reporter {
    /// Starts the task. Without `confirmed` it confirms nothing (peek).
    pub(crate) fn start<W>(
        write: W,
        feedback: Feedback,
        confirmed: Option<Watermark<Lsn>>,
        monitor: SourceMonitor,
    ) -> Self
    where
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Shared::new(feedback);
        let task = tokio::spawn(run(write, Arc::clone(&shared), confirmed, monitor));
        Self { shared, task }
    }

    /// Sends what is confirmed and CopyDone, and waits for the task. The reader goes on discarding
    /// meanwhile.
    pub(crate) async fn finish(&mut self) {
        self.shared.finish.notify_one();
        // A task that panicked has nothing left to send.
        drop((&mut self.task).await);
    }
}

async fn run<W>(
    mut write: W,
    shared: Arc<Shared>,
    confirmed: Option<Watermark<Lsn>>,
    monitor: SourceMonitor,
) where
    W: AsyncWrite + Unpin + Send,
{
    let end = drive(&mut write, &shared, confirmed.as_ref(), &monitor).await;
    if let Some(end) = end {
        *shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }
    // Best effort: a connection that is dead can't be shut down either.
    drop(write.shutdown().await);
    shared.has_ended.notify_waiters();
}

async fn drive<W>(
    write: &mut W,
    shared: &Shared,
    confirmed: Option<&Watermark<Lsn>>,
    monitor: &SourceMonitor,
) -> Option<ReporterEnd>
where
    W: AsyncWrite + Unpin,
{
    let mut seen = Lsn::ZERO;
    let mut frame = BytesMut::with_capacity(64);
    loop {
        let now = Instant::now();
        shared.feedback().awake(now);
        if let Some(mark) = confirmed {
            seen = mark.get();
            if seen > Lsn::ZERO && !shared.feedback().confirm(now, seen) {
                return Some(ReporterEnd::Beyond(seen));
            }
        }
        let action = shared.feedback().poll(now);
        match action {
            Action::Send(status) => {
                if let Err(error) = send(write, &mut frame, status).await {
                    return Some(ReporterEnd::Io(error.to_string()));
                }
                let now = Instant::now();
                shared.feedback().sent(now, status);
                monitor.status(now, status.confirmed);
            }
            Action::Wait(until) => {
                tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => {}
                    () = shared.wake.notified() => {}
                    () = monitor.hurried() => shared.feedback().hurry(),
                    _ = above(confirmed, seen) => {}
                    () = shared.finish.notified() => {
                        return farewell(write, &mut frame, shared, confirmed, monitor).await;
                    }
                }
            }
            Action::Dead => return Some(ReporterEnd::Dead),
            Action::Yield => return Some(ReporterEnd::Yield),
        }
    }
}

/// The last status and CopyDone.
async fn farewell<W>(
    write: &mut W,
    frame: &mut BytesMut,
    shared: &Shared,
    confirmed: Option<&Watermark<Lsn>>,
    monitor: &SourceMonitor,
) -> Option<ReporterEnd>
where
    W: AsyncWrite + Unpin,
{
    let status = {
        let mut feedback = shared.feedback();
        if let Some(mark) = confirmed.map(Watermark::get)
            && mark > Lsn::ZERO
            && !feedback.confirm(Instant::now(), mark)
        {
            return Some(ReporterEnd::Beyond(mark));
        }
        feedback.last_status()
    };
    let sent = async {
        send(write, frame, status).await?;
        // CopyDone, and Terminate for when the copy has ended: the slot is free at once.
        write
            .write_all(&[b'c', 0, 0, 0, 4, b'X', 0, 0, 0, 4])
            .await?;
        write.flush().await
    };
    if let Err(error) = sent.await {
        return Some(ReporterEnd::Io(error.to_string()));
    }
    let now = Instant::now();
    shared.feedback().sent(now, status);
    monitor.status(now, status.confirmed);
    None
}

async fn above(confirmed: Option<&Watermark<Lsn>>, seen: Lsn) -> Lsn {
    match confirmed {
        Some(mark) => mark.above(seen).await,
        None => std::future::pending().await,
    }
}

async fn send<W>(write: &mut W, frame: &mut BytesMut, status: Status) -> std::io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    frame.clear();
    frame.put_u8(b'd');
    // The length counts itself.
    frame.put_u32(STANDBY_STATUS_LEN as u32 + 4);
    let status = StandbyStatus {
        written: status.received,
        flushed: status.confirmed,
        applied: status.confirmed,
        client_time: client_time(),
        reply_requested: status.reply_requested,
    };
    status.encode(frame);
    write.write_all(frame).await?;
    write.flush().await
}

/// The wall clock, which the server only shows in `pg_stat_replication.reply_time`.
fn client_time() -> PgMicros {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    PgMicros::from_unix_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
